"""From a history to what it says was broken, sorted by promise. Pure: nothing here does I/O.

| | |
| --- | --- |
| I1 | seq of events and of messages and rev of entries are 1, 2, 3 ..., the chain of hashes holds |
| I2/C1 | what was accepted is in the log once, with one turn or withdrawn with its room |
| I2/C1 | a key is carried out at most once, and keeps its answer; nothing becomes a dead letter |
| I2/C1 | each occurrence of a schedule ends as one outcome, the one that its policy wants |
| I2/C1 | a wake is one event, and its content one message |
| I3 | an accepted interrupt ends its turn in time, an accepted patch is one version |
| I4 | no entry and no part of a room's state is larger than it may be |
| C3 | epochs never fall |
| I8/C4 | each follower saw exactly the log |
| I6/C5 | one turn at a time, whose events all belong to it; a tool call begins and ends once |
| I6/C5 | the steps of an epoch come from one session, and nobody else gives its lease away |
| I6/C5 | a turn is taken over only from a worker that the fault kept from its session |
| C6 | each call ended in time, with 2xx or a typed error |
| C8 | the room's account counts each turn once; so does its settlement, its last event |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise

import rfc8785

from tests.faults.history import Call, Fault, History, Record, RoomLog, Sightings
from tests.faults.rules import (
    calls,
    interrupts,
    leases,
    limits,
    patches,
    schedules,
    takeovers,
    wakes,
)
from tests.faults.rules.leases import OF_A_TURN
from tests.faults.rules.violation import Kind, Violation, once

GENESIS = "0" * 64
STATUSES = ("completed", "failed", "interrupted")
# What becomes of a message: a turn, or with its room nothing any more.
_TURN = ("actor:turn_start", "actor:turn_end")
_WITHDRAWN = ("message:withdrawn",)


def violations(history: History) -> list[Violation]:
    """Return everything that is wrong with a history."""
    return sorted(_all(history))


def _all(history: History) -> Iterator[Violation]:
    asked: dict[str, dict[str, list[Call]]] = defaultdict(lambda: defaultdict(list))
    for call in history.calls:
        yield from calls.in_time(call, history.fault)
        asked[call.room][call.what].append(call)
    yield from calls.answered(history)
    if history.dead_letters:
        yield Violation("I2/C1", "DLQ", f"dead letters: {history.dead_letters}", Kind.LOST)
    for log in history.logs:
        yield from _whole(log)
        yield from _told(log, asked[log.room], history.fault)
        yield from takeovers.takeovers(log, history.outages)
    logs = {log.room: log for log in history.logs}
    for sightings in history.sightings:
        yield from _followed(sightings, logs[sightings.room])


def _whole(log: RoomLog) -> Iterator[Violation]:
    """Look at what a log says of itself."""
    yield from _numbers(log)
    yield from _chain(log)
    yield from _epochs(log)
    yield from _turns(log)
    yield from _tool_calls(log)
    yield from _account(log)
    yield from _settlement(log)
    yield from leases.leases(log)
    yield from limits.limits(log)
    yield from schedules.occurrences(log)


def _told(log: RoomLog, asked: dict[str, list[Call]], fault: Fault) -> Iterator[Violation]:
    """Compare a log with what callers were told."""
    yield from _messages(log, asked["post"])
    yield from calls.keys(log, asked["post"])
    yield from calls.rejects(log, asked["post"])
    yield from interrupts.interrupts(log, asked["interrupt"], fault)
    yield from patches.patches(log, asked["patch"])
    yield from wakes.wakes(log, asked["wake"])


def _numbers(log: RoomLog) -> Iterator[Violation]:
    for name, records in (("event", log.events), ("message", log.messages)):
        seqs = [record["seq"] for record in records]
        for seq, times in Counter(seqs).items():
            if times > 1:
                yield Violation(
                    "I1", log.room, f"{name} {seq} is there {times} times", Kind.DOUBLED
                )
        for before, seq in pairwise([0, *seqs]):
            if seq > before + 1:
                what = f"{name} {before} is followed by {seq}"
                yield Violation("I1", log.room, what, Kind.LOST)
            if seq < before:
                what = f"{name} {seq} comes after {before}"
                yield Violation("I1", log.room, what, Kind.DISORDERED)


def _chain(log: RoomLog) -> Iterator[Violation]:
    previous = GENESIS
    for event in log.events:
        content = {name: value for name, value in event.items() if name != "hash"}
        if event["prev_hash"] != previous:
            yield Violation("I1", log.room, f"event {event['seq']} names another one before it")
        if sha256(rfc8785.dumps(content)).hexdigest() != event["hash"]:
            yield Violation("I1", log.room, f"event {event['seq']} does not give its hash")
        previous = event["hash"]


def _messages(log: RoomLog, posts: list[Call]) -> Iterator[Violation]:
    """Whoever wrote a message, a caller or a schedule: it is there once, and has one turn."""
    told = {call.told for call in posts if call.accepted}
    stored = Counter(one["id"] for one in log.messages if one["author_kind"] != "agent")
    for message in sorted(told | set(stored)):
        yield from once(log.room, f"message {message}", "in the log", stored[message])
    found = {
        event_type: Counter(
            event["payload"]["message_id"]
            for event in log.events
            if event["event_type"] == event_type
        )
        for event_type in ("message:queued", *_TURN, *_WITHDRAWN)
    }
    released = log.released
    for message in sorted(told.union(stored, *found.values())):
        withdrawn = released and found["message:withdrawn"][message] > 0
        for event_type in ("message:queued", *(_WITHDRAWN if withdrawn else _TURN)):
            times = found[event_type][message]
            yield from once(log.room, f"message {message}", event_type, times)
        for event_type in _TURN if withdrawn else _WITHDRAWN:
            if found[event_type][message]:
                what = f"message {message}: {event_type} as well"
                yield Violation("I2/C1", log.room, what, Kind.DOUBLED)


def _epochs(log: RoomLog) -> Iterator[Violation]:
    for before, event in pairwise(log.events):
        if event["epoch"] < before["epoch"]:
            what = f"epoch {event['epoch']} of event {event['seq']} follows {before['epoch']}"
            yield Violation("C3", log.room, what, Kind.DISORDERED)


def _turns(log: RoomLog) -> Iterator[Violation]:
    running: str | None = None
    epoch = outputs = 0
    ends = _giving_up(log)
    for event in log.events:
        event_type, place = event["event_type"], f"event {event['seq']} ({event['event_type']})"
        if event_type == "actor:turn_start":
            if running is not None:
                yield Violation("I6/C5", log.room, f"{place} begins while turn {running} runs")
            running, epoch, outputs = event["turn_id"], event["epoch"], 0
        elif event_type in OF_A_TURN and event["turn_id"] != running:
            what = f"{place} is of turn {event['turn_id']} while {running} runs"
            yield Violation("I6/C5", log.room, what)
        elif running is not None and event_type == "room:recovered":
            epoch = event["epoch"]
        elif running is not None and event["epoch"] != epoch and not _in_place(event, epoch, ends):
            yield Violation("I6/C5", log.room, f"{place} has epoch {event['epoch']}, not {epoch}")
        outputs += event_type == "actor:output"
        if event_type == "actor:turn_end":
            yield from _end(log.room, event, outputs)
            running = None


def _giving_up(log: RoomLog) -> set[int]:
    """Return the seqs of all events that came with the end of a turn that did not complete."""
    return {
        event["seq"]
        for entry in log.entries
        if any(end["payload"]["status"] != "completed" for end in entry.of("actor:turn_end"))
        for event in entry.events
    }


def _in_place(event: Record, epoch: int, ends: set[int]) -> bool:
    """Say whether it came with an end in place of a holder that let a deadline pass.

    Whoever ends the turn keeps what else is due in the room, the occurrences of its schedule too.
    """
    goes_on = event["event_type"] in ("actor:output", "tool:start")
    return event["epoch"] == epoch + 1 and event["seq"] in ends and not goes_on


def _tool_calls(log: RoomLog) -> Iterator[Violation]:
    begun, ended = (
        Counter(one["payload"]["call_id"] for one in log.events if one["event_type"] == event_type)
        for event_type in ("tool:start", "tool:end")
    )
    for call in sorted({*begun, *ended}):
        if (begun[call], ended[call]) != (1, 1):
            what = f"tool call {call} has {begun[call]} beginnings and {ended[call]} ends"
            kind = Kind.DOUBLED if max(begun[call], ended[call]) > 1 else Kind.LOST
            yield Violation("I6/C5", log.room, what, kind)


def _end(room: str, event: Record, outputs: int) -> Iterator[Violation]:
    status = event["payload"]["status"]
    if status not in STATUSES:
        yield Violation("I6/C5", room, f"turn {event['turn_id']} ended as {status!r}")
    if status == "completed" and outputs != 1:
        yield Violation("I6/C5", room, f"turn {event['turn_id']} completed, {outputs} outputs")


def _followed(sightings: Sightings, log: RoomLog) -> Iterator[Violation]:
    where = f"{log.room}, {sightings.follower}"
    truth = {event["seq"]: event for event in log.events}
    seqs = [event["seq"] for event in sightings.events]
    missed = sorted(set(truth) - set(seqs))
    if missed:
        what = f"did not see {missed} of {len(truth)} events; went on from {sightings.cursors}"
        yield Violation("I8/C4", where, what, Kind.LOST)
    twice = [seq for seq, times in Counter(seqs).items() if times > 1]
    if twice:
        what = f"saw {twice} more than once; went on from {sightings.cursors}"
        yield Violation("I8/C4", where, what, Kind.DOUBLED)
    for before, seq in pairwise(seqs):
        if seq < before:
            yield Violation("I8/C4", where, f"saw {seq} after {before}", Kind.DISORDERED)
    for event in sightings.events:
        if truth.get(event["seq"]) != event:
            yield Violation("I8/C4", where, f"saw another event {event['seq']} than the log has")


def _account(log: RoomLog) -> Iterator[Violation]:
    ends = sum(event["event_type"] == "actor:turn_end" for event in log.events)
    if ends != log.turns:
        what = f"usage.turns is {log.turns}, the log has {ends} turn ends"
        yield Violation("C8", log.room, what)


def _settlement(log: RoomLog) -> Iterator[Violation]:
    releases = [event for event in log.events if event["event_type"] == "room:released"]
    if len(releases) > 1:
        what = f"the room was released {len(releases)} times"
        yield Violation("C8", log.room, what, Kind.DOUBLED)
    if not releases:
        return
    if releases[0] is not log.events[-1]:
        yield Violation("C8", log.room, "something came after the release", Kind.DISORDERED)
    settled = releases[0]["payload"]["settlement"]["turns"]
    ends = sum(event["event_type"] == "actor:turn_end" for event in log.events)
    if settled != ends:
        what = f"the settlement counts {settled} turns, the log has {ends} turn ends"
        yield Violation("C8", log.room, what)
