"""From a history to what it says was broken, sorted by promise. Pure: nothing here does I/O.

| | |
| --- | --- |
| I1 | seq of events and of messages is 1, 2, 3 ..., and the chain of hashes holds |
| I2/C1 | what was accepted is in the log once, with one turn or withdrawn with its room |
| I2/C1 | a message's key is carried out at most once; nothing becomes a dead letter |
| C3 | epochs never fall |
| I8/C4 | each follower saw exactly the log |
| I6/C5 | one turn at a time, whose events all belong to it; a tool call begins and ends once |
| C6 | each call ended in time, with 2xx or a typed error |
| C8 | the room's account counts each turn once; so does its settlement, its last event |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from itertools import pairwise

import rfc8785

from abbotik_contracts.errors import ERRORS
from tests.faults.history import Call, Fault, History, Record, RoomLog, Sightings

ANSWER_S = 5.5
GENESIS = "0" * 64
STATUSES = ("completed", "failed", "interrupted")
# What becomes of a message: a turn, or with its room nothing any more.
_TURN = ("actor:turn_start", "actor:turn_end")
_WITHDRAWN = ("message:withdrawn",)
# What only the running turn may add to the log.
OF_A_TURN = ("actor:output", "actor:turn_end", "tool:start", "tool:end")
# A process that is down or paused itself cannot answer; one that is cut off from others must.
UNANSWERING = ("kill", "pause", "term", "power-cut")


class Kind(StrEnum):
    """What sort of harm a violation is."""

    LOST = "lost"
    DOUBLED = "doubled"
    DISORDERED = "out_of_order"
    OTHER = "other"


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One broken promise: where (a room, mostly) and what."""

    promise: str
    where: str
    what: str
    kind: Kind = Kind.OTHER

    def __str__(self) -> str:
        return f"{self.promise} {self.where}: {self.what}"


def violations(history: History) -> list[Violation]:
    """Return everything that is wrong with a history."""
    return sorted(_all(history))


def _all(history: History) -> Iterator[Violation]:
    posts: dict[str, list[Call]] = defaultdict(list)
    for call in history.calls:
        yield from _in_time(call, history.fault)
        if call.what == "post":
            posts[call.room].append(call)
    yield from _answered(history)
    if history.dead_letters:
        yield Violation("I2/C1", "DLQ", f"dead letters: {history.dead_letters}", Kind.LOST)
    for log in history.logs:
        yield from _numbers(log)
        yield from _chain(log)
        yield from _messages(log, posts[log.room])
        yield from _keys(log, posts[log.room])
        yield from _epochs(log)
        yield from _turns(log)
        yield from _tool_calls(log)
        yield from _account(log)
        yield from _settlement(log)
    logs = {log.room: log for log in history.logs}
    for sightings in history.sightings:
        yield from _followed(sightings, logs[sightings.room])


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
    told = {call.told for call in posts if call.accepted}
    stored = Counter(one["id"] for one in log.messages if one["author_kind"] == "user")
    for message in sorted(told | set(stored)):
        yield from _times(log.room, f"message {message}", "in the log", stored[message])
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
            yield from _times(log.room, f"message {message}", event_type, times)
        for event_type in _TURN if withdrawn else _WITHDRAWN:
            if found[event_type][message]:
                what = f"message {message}: {event_type} as well"
                yield Violation("I2/C1", log.room, what, Kind.DOUBLED)


def _times(room: str, what: str, where: str, times: int) -> Iterator[Violation]:
    if times == 0:
        yield Violation("I2/C1", room, f"{what}: {where} is missing", Kind.LOST)
    if times > 1:
        yield Violation("I2/C1", room, f"{what}: {where} {times} times", Kind.DOUBLED)


def _keys(log: RoomLog, posts: list[Call]) -> Iterator[Violation]:
    """Each post has a text of its own, so the log shows how often its key was carried out."""
    by_content: dict[str, list[str]] = defaultdict(list)
    for message in log.messages:
        if message["author_kind"] == "user":
            by_content[message["content"]].append(message["id"])
    for key, tries in _by_key(posts).items():
        stored = by_content[tries[0].content]
        told = {call.told for call in tries if call.accepted}
        if len(stored) > 1:
            what = f"key {key} was carried out {len(stored)} times"
            yield Violation("I2/C1", log.room, what, Kind.DOUBLED)
        if not told <= set(stored):
            what = f"key {key} was told {sorted(told)}, the log has {stored}"
            yield Violation("I2/C1", log.room, what)
        if stored and tries[-1].error == "ROOM_RELEASED":
            yield Violation("I2/C1", log.room, f"key {key} was refused, the log has {stored}")


def _answered(history: History) -> Iterator[Violation]:
    """Each key has to come to one answer in the end; only a released room may refuse for good."""
    released = {log.room for log in history.logs if log.released}
    # What is to be interrupted may be over; a follower has no key.
    insisted = [call for call in history.calls if call.what in ("rent", "post", "release")]
    for key, tries in _by_key(insisted).items():
        last = tries[-1]
        told = {call.told for call in tries if call.accepted}
        if len(told) > 1:
            yield Violation("I2/C1", last.room, f"key {key} was told {sorted(told)}")
        if last.what == "release" and told and last.room not in released:
            yield Violation("I2/C1", last.room, "the release is missing", Kind.LOST)
        refused = last.what == "post" and last.error == "ROOM_RELEASED" and last.room in released
        if not told and not refused:
            what = f"key {key} was not accepted in {len(tries)} tries; the last: {last.error}"
            yield Violation("C6", last.room, what)


def _by_key(calls: list[Call]) -> dict[str, list[Call]]:
    by_key: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_key[call.key].append(call)
    return by_key


def _epochs(log: RoomLog) -> Iterator[Violation]:
    for before, event in pairwise(log.events):
        if event["epoch"] < before["epoch"]:
            what = f"epoch {event['epoch']} of event {event['seq']} follows {before['epoch']}"
            yield Violation("C3", log.room, what, Kind.DISORDERED)


def _turns(log: RoomLog) -> Iterator[Violation]:
    running: str | None = None
    epoch = outputs = 0
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
        elif running is not None and event["epoch"] != epoch and not _in_place(event, epoch):
            yield Violation("I6/C5", log.room, f"{place} has epoch {event['epoch']}, not {epoch}")
        outputs += event_type == "actor:output"
        if event_type == "actor:turn_end":
            yield from _end(log.room, event, outputs)
            running = None


def _in_place(event: Record, epoch: int) -> bool:
    """Say whether it ends a turn in place of a holder that let a deadline pass."""
    closes = event["event_type"] in ("tool:end", "error", "actor:turn_end")
    completes = event["payload"].get("status") == "completed"
    return event["epoch"] == epoch + 1 and closes and not completes


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


def _in_time(call: Call, fault: Fault) -> Iterator[Violation]:
    what = f"{call.what} to {call.gateway} {call.began - fault.began:+.2f} s from the fault"
    down = (
        call.gateway in (fault.victim, *fault.others)
        and fault.kind in UNANSWERING
        and call.began <= fault.healed
        and call.began + call.took_s >= fault.began
    )
    if call.took_s > ANSWER_S and not (down and fault.kind == "pause"):
        yield Violation("C6", call.room, f"{what} took {call.took_s:.2f} s")
    elif call.status is None and not down:
        yield Violation("C6", call.room, f"{what} was not answered: {call.error}")
    elif call.status is not None and not call.accepted and call.error not in ERRORS:
        yield Violation("C6", call.room, f"{what} got {call.status} without a known error_code")
    elif call.error == "INTERNAL":
        yield Violation("C6", call.room, f"{what} got {call.status} INTERNAL")


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
