"""A sound history for the checker's own tests, and what makes another one of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import rfc8785

from abbotik_kernel.clock import rfc3339
from tests.faults.checker import GENESIS, violations
from tests.faults.history import Call, Entry, Fault, History, Outage, Record, RoomLog, Sightings
from tests.faults.rules.schedules import occurrence_id
from tests.faults.rules.violation import Kind

ROOM = "0198c0de-0000-7000-8000-000000000001"
FAULT = Fault("gateway", "kill", began=100.0, healed=103.0)
# When the first entry was written, in ms, and how long each next one took: nothing disturbs.
BEGAN = 200_000
EACH = 100
# What stands in the same entry as the event before it.
_JOINS = {
    "actor:turn_start": "message:queued",
    "actor:turn_end": "actor:output",
}


def sound() -> History:
    """Two messages, the second one accepted at the second try, and a follower of them.

    Both turns lose the worker that began them.
    """
    events = sealed([event("room:rented", 0, 0), *turn(1, 1), *turn(2, 3)])
    messages = [
        message(1, 1, "user"),
        message(1, 2, "agent"),
        message(2, 3, "user"),
        message(2, 4, "agent"),
    ]
    calls = [
        post(1, 202, "", "message-1"),
        post(2, 503, "COMMAND_UNCONFIRMED", ""),
        post(2, 202, "", "message-2"),
    ]
    follower = Sightings(ROOM, "follower", list(events), cursors=[0, 4])
    log = RoomLog(ROOM, events, messages, turns=2, entries=entries_of(events))
    outages = [Outage(f"worker-{epoch}", since=BEGAN / 1000) for epoch in (1, 3)]
    return History(FAULT, calls, [follower], [log], outages=outages)


def sealed(events: Iterable[Record]) -> list[Record]:
    """Return the events with the seqs and the chain of hashes of a log that holds just them."""
    chain, previous = [], GENESIS
    for seq, one in enumerate(events, start=1):
        content = {**one, "seq": seq, "prev_hash": previous}
        content.pop("hash", None)
        previous = sha256(rfc8785.dumps(content)).hexdigest()
        chain.append({**content, "hash": previous})
    return chain


def event(event_type: str, number: int, epoch: int, **payload: object) -> Record:
    """Return an event of a turn, or of none."""
    turn_id = f"turn-{number}" if event_type.startswith(("actor:", "tool:")) else None
    return {"event_type": event_type, "epoch": epoch, "turn_id": turn_id, "payload": payload}


def occurrence(
    at: int, outcome: str = "fired", reason: str | None = None, **more: object
) -> Record:
    """Return the event of an occurrence of a schedule; ``at`` in ms."""
    payload: Record = {
        "cause": "schedule",
        "outcome": outcome,
        "occurrence_id": occurrence_id(ROOM, at),
        "scheduled_for": rfc3339(at),
        "reason": reason,
        **more,
    }
    return event("room:wake", 0, 4, **payload)


def turn(number: int, epoch: int) -> list[Record]:
    """Return all events of a message whose turn is taken over once."""
    message_id = f"message-{number}"
    return [
        event("message:queued", number, epoch, message_id=message_id),
        event("actor:turn_start", number, epoch, message_id=message_id),
        event("room:recovered", number, epoch + 1),
        event("actor:output", number, epoch + 1, message_id=f"output-{number}"),
        event("actor:turn_end", number, epoch + 1, message_id=message_id, status="completed"),
    ]


def message(number: int, seq: int, author: str) -> Record:
    """Return a message, or the answer to it."""
    word = "message" if author == "user" else "output"
    content = f"words {number}"
    return {"id": f"{word}-{number}", "seq": seq, "author_kind": author, "content": content}


def post(number: int, status: int, error: str, told: str) -> Call:
    """Return a try to post a message."""
    return Call(
        what="post",
        room=ROOM,
        gateway="gateway",
        began=101.0 + number,
        took_s=0.5,
        status=status,
        error=error,
        key=f"key-{number}",
        told=told,
        body={"content": f"words {number}"},
    )


def asked(what: str, told: str = "", error: str = "", **members: Any) -> Call:
    """Return a call that was answered, under the key `<what>-1` if no other is given."""
    status = 409 if error else 200
    call = replace(post(0, status, error, told), what=what, key=f"{what}-1", body={})
    return replace(call, **members)


def assert_named(
    corrupt: Callable[[History], None], promise: str, kind: Kind | None, says: str
) -> None:
    """Assert that a sound history with one corruption has a violation that says what it is.

    Of the right promise, and of that kind, if one is given.
    """
    history = sound()
    corrupt(history)
    found = violations(history)
    alike = [one for one in found if one.promise == promise and kind in (None, one.kind)]
    assert any(says in one.what for one in alike), found


def with_events(history: History, events: list[Record]) -> None:
    """Put other events into the log, and before the follower's eyes, so that only they differ."""
    history.logs[0] = replace(history.logs[0], events=events, entries=entries_of(events))
    history.sightings[0].events = list(events)


def with_entries(history: History, entries: list[Entry]) -> None:
    """Put other entries into the log, with revs and a chain of their own."""
    events = sealed(one for entry in entries for one in entry.events)
    left, kept = iter(events), []
    for rev, entry in enumerate(entries, start=1):
        kept.append(replace(entry, rev=rev, events=[next(left) for _ in entry.events]))
    history.logs[0] = replace(history.logs[0], events=events, entries=kept)
    history.sightings[0].events = list(events)


def last(history: History) -> Entry:
    """Return the newest entry."""
    return history.logs[0].entries[-1]


def append(history: History, *entries: Entry) -> None:
    """Add entries to the log."""
    with_entries(history, [*history.logs[0].entries, *entries])


def then(before: Entry, *events: Record, state: Record | None = None, **members: Any) -> Entry:
    """Return an entry that comes after another one, a second later."""
    given = {"at": before.at + 1_000, "config": None, "answer": {}, **members}
    return replace(before, events=list(events), state={**before.state, **(state or {})}, **given)


def patch_entry(before: Entry, key: str = "patch-1", version: int = 2) -> Entry:
    """Return the entry of a patch."""
    config = {"metadata": {"patch": key}, "wake_policy": {}}
    return then(before, state={"policy_version": version}, config=config)


def entries_of(events: list[Record]) -> list[Entry]:
    """Return the commits that lead to these events; each epoch has a session of its own."""
    entries: list[Entry] = []
    state: Record = {
        "status": "rented",
        "lease": None,
        "policy_version": 1,
        "queue": [],
        "withdrawn": [],
        "wakes": [],
        "turn": None,
    }
    for group in _grouped(events):
        epoch = group[-1]["epoch"]
        state = {**state, "epoch": epoch}
        session = f"worker-{epoch}"
        for one in group:
            state = {**state, **_change(state, one, session)}
        at = BEGAN + EACH * len(entries)
        entries.append(Entry(len(entries) + 1, session, at, state, group, size=900, beside=500))
    if entries:
        config: Record = {"metadata": {}, "wake_policy": {}}
        entries[0] = replace(entries[0], config=config)
    return entries


def _grouped(events: list[Record]) -> list[list[Record]]:
    groups: list[list[Record]] = []
    for one in events:
        before = groups[-1][-1]["event_type"] if groups else None
        if before is not None and _JOINS.get(one["event_type"]) == before:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _change(state: Record, one: Record, session: str) -> Record:
    """Return what an event changes in the state."""
    message_id = one["payload"].get("message_id")
    waiting = [other for other in state["queue"] if other != message_id]
    lease = {"session": session, "epoch": one["epoch"]}
    match one["event_type"]:
        case "message:queued":
            return {"queue": [*waiting, message_id]}
        case "message:withdrawn":
            return {"queue": waiting, "withdrawn": [*state["withdrawn"], message_id]}
        case "actor:turn_start":
            begun = {"id": one["turn_id"], "interrupt": None, "open_calls": [], "recoveries": 0}
            return {"queue": waiting, "turn": begun, "lease": lease, "status": "active"}
        case "room:recovered":
            return {"lease": lease}
        case "actor:turn_end":
            return {"turn": None, "lease": None, "status": "idle"}
        case "room:released":
            return {"status": "released"}
        case _:
            return {}
