"""I2/I3: an interrupt that was accepted ends the turn that it told of, in time, and only that."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from tests.faults.history import Call, Entry, Fault, Record, RoomLog
from tests.faults.rules.calls import CLOCKS_S, by_key, final
from tests.faults.rules.violation import Kind, Violation

# A holder is nudged at once and looks by itself each second, on a busy machine later; the steps of
# this load are shorter than what is left.
HEARD_S = 3.0
# What a fault leaves to do when it is over: sessions, projections, rooms of the dead.
AFTER_S = 10.0
# A soft interrupt past its deadline becomes a hard one, which gets so long.
ESCALATION_S = 2.0
_ENDING = ("releasing", "released")


def interrupts(log: RoomLog, asked: list[Call], fault: Fault) -> Iterator[Violation]:
    """Look at each interrupt in the log, and at what its caller was told."""
    for at, entry in enumerate(log.entries):
        if entry.answer.get("kind") == "interrupt":
            before = log.entries[at - 1]
            if entry.turn is None or before.turn != entry.turn or _ending(before):
                what = f"entry {entry.rev} interrupts turn {entry.turn}, which does not run"
                yield Violation("I2/C1", log.room, what)
            else:
                yield from _stopped(log, entry, log.entries[at + 1 :], fault)
    tries = by_key(asked)
    yield from _carried_out(log, tries)
    ends = _ends(log)
    for key, calls in tries.items():
        if calls[0].body.get("turn_id"):
            yield from _named(log, key, calls, ends)


def _ending(entry: Entry) -> bool:
    return entry.state["status"] in _ENDING


def _stopped(
    log: RoomLog, asked: Entry, following: list[Entry], fault: Fault
) -> Iterator[Violation]:
    """Look at what became of a turn that was told to stop."""
    turn = asked.turn
    ends = [entry for entry in following if _end(entry, turn)]
    if not ends:
        what = f"turn {turn} was interrupted and did not end"
        yield Violation("I3", log.room, what, Kind.LOST)
        return
    end = ends[0]
    late_s = end.at / 1000 - _limit(asked, fault)
    if late_s > 0:
        what = f"turn {turn} ended {(end.at - asked.at) / 1000:.2f} s after its interrupt"
        yield Violation("I3", log.room, f"{what}, {late_s:.2f} s too late")
    heard: Record | None = None
    for entry in following[: following.index(end)]:
        if heard is not None and entry.of("tool:start"):
            what = f"entry {entry.rev} begins a tool call of turn {turn}, which is to stop"
            yield Violation("I3", log.room, what)
        if entry.of("room:recovered"):
            what = f"turn {turn} goes on at its takeover by entry {entry.rev}, though interrupted"
            yield Violation("I3", log.room, what)
        # Whoever commits a step has read all that was there before, and waited for the commit.
        if entry.of("tool:start") or entry.of("tool:end"):
            heard = entry.state["turn"]["interrupt"]
    status = _end(end, turn)
    if status == "completed" and heard is not None and heard["mode"] == "hard":
        yield Violation("I3", log.room, f"turn {turn} completed after it was told to stop at once")


def _limit(asked: Entry, fault: Fault) -> float:
    """Return when the turn has to have ended: soon, or where a fault disturbs by the deadline."""
    at, stop = asked.at / 1000, asked.state["turn"]["interrupt"]
    if not fault.disturbs(at, at + HEARD_S, AFTER_S):
        return at + HEARD_S
    deadline = stop["deadline_at"] / 1000 + (ESCALATION_S if stop["mode"] == "soft" else 0)
    return float(max(deadline, fault.healed) + AFTER_S)


def _end(entry: Entry, turn: str | None) -> str | None:
    """Return the status with which the entry ends that turn, None where it does not."""
    ends = [event for event in entry.of("actor:turn_end") if event["turn_id"] == turn]
    return ends[0]["payload"]["status"] if ends else None


def _carried_out(log: RoomLog, tries: dict[str, list[Call]]) -> Iterator[Violation]:
    """Look for each interrupt that was told of, and for those that nobody can have asked for."""
    there = Counter(entry.turn for entry in log.entries if entry.answer.get("kind") == "interrupt")
    told = Counter(call.told for calls in tries.values() for call in calls[-1:] if call.accepted)
    unsaid = sum(not any(final(call) for call in calls) for calls in tries.values())
    for turn in sorted({*filter(None, there), *told}):
        what = f"turn {turn}: {told[turn]} interrupts told, {there[turn]} in the log"
        if there[turn] < told[turn]:
            yield Violation("I3", log.room, what, Kind.LOST)
        if there[turn] > told[turn] + unsaid:
            yield Violation("I2/C1", log.room, what, Kind.DOUBLED)


def _ends(log: RoomLog) -> dict[str, float]:
    """Return until when each turn that has ended could be interrupted."""
    ends: dict[str, float] = {}
    ending = min((entry.at for entry in log.entries if _ending(entry)), default=math.inf)
    for entry in log.entries:
        for event in entry.of("actor:turn_end"):
            ends[event["turn_id"]] = min(entry.at, ending) / 1000
    return ends


def _named(
    log: RoomLog, key: str, calls: list[Call], ends: dict[str, float]
) -> Iterator[Violation]:
    """Look at an interrupt of a certain turn: it hits that turn, or is refused if it is over.

    Nobody knows a turn that has not begun.
    """
    last = calls[-1]
    turn = last.body["turn_id"]
    if last.accepted and last.told != turn:
        what = f"key {key} asked for turn {turn} and was told {last.told}"
        yield Violation("I3", log.room, what)
    if last.over and final(last) and last.error != "ROOM_NOT_RUNNING":
        what = f"key {key} got {last.status} {last.error} for turn {turn}, which was over"
        yield Violation("I2/C1", log.room, what)
    if last.error == "ROOM_NOT_RUNNING" and ends.get(turn, 0) > last.ended + CLOCKS_S:
        what = f"key {key} was refused though turn {turn} ran"
        yield Violation("I2/C1", log.room, what)
