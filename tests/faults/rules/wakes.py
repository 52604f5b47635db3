"""I2: an accepted wake is one event, and so is each occurrence of a schedule, as its policy wants.

Only of schedules with `every_s`: an occurrence is due so long after the one before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

from tests.faults.history import Call, Entry, Record, RoomLog
from tests.faults.rules.calls import by_key, refused
from tests.faults.rules.limits import QUEUE
from tests.faults.rules.violation import Kind, Violation, once

# Who keeps an occurrence later than this was not there in time, in ms.
MISFIRE_MS = 30_000
_ENDING = ("releasing", "released")


class Told(NamedTuple):
    """What an event says of one occurrence, or of several missed ones; times in ms."""

    first: int
    last: int
    times: int
    payload: Record


def explicit(log: RoomLog, asked: list[Call]) -> Iterator[Violation]:
    """Compare the wakes in the log, whose reason is their key, with what the callers were told."""
    there: Counter[str] = Counter()
    for before, entry in log.steps:
        for event in entry.of("room:wake"):
            if not _scheduled(event):
                there[event["payload"]["reason"]] += 1
                yield from _explicit(log.room, before, event)
    tries = by_key(asked)
    for key in sorted(set(there) - set(tries), key=str):
        yield Violation("I2/C1", log.room, f"nobody asked for the wake {key}")
    for key, calls in tries.items():
        if calls[-1].accepted or there[key] > 1:
            yield from once(log.room, f"wake {key}", "room:wake", there[key])
        if there[key] and refused(calls):
            yield Violation("I2/C1", log.room, f"wake {key} was refused, the log has it")


def _explicit(room: str, before: Entry, event: Record) -> Iterator[Violation]:
    outcome, due = event["payload"]["outcome"], "coalesced" if before.turn else "fired"
    if outcome != due:
        what = f"event {event['seq']}: a wake came to {outcome}, not to {due}"
        yield Violation("I2/C1", room, what)


def occurrences(log: RoomLog) -> Iterator[Violation]:
    """Follow the times of a room's schedule from its setting to its end."""
    schedule: Record | None = None
    due = 0
    before = log.entries[0] if log.entries else None
    for entry in log.entries:
        told = [_told(event) for event in entry.of("room:wake") if _scheduled(event)]
        for one in told:
            yield from _one(log.room, entry, one, schedule, due)
            due = one.last + (schedule["every_s"] * 1000 if schedule else 0)
        if before is not None and schedule is not None:
            yield from _outcomes(log.room, before, entry, told, schedule)
        wanted = _schedule(entry, schedule)
        if wanted != schedule:
            if schedule is not None and due <= entry.at:
                what = f"the occurrence of {due} was due at the schedule's end and is left out"
                yield Violation("I2/C1", log.room, what, Kind.LOST)
            due = entry.at + wanted["every_s"] * 1000 if wanted else 0
        schedule, before = wanted, entry
        waits = entry.state["wakes"][:1]
        if waits != ([due] if schedule else []):
            what = f"entry {entry.rev} waits for {waits}, not for {due}"
            kind = Kind.LOST if not waits or waits[0] > due > 0 else Kind.DOUBLED
            yield Violation("I2/C1", log.room, what, kind)


def _scheduled(event: Record) -> bool:
    return bool(event["payload"]["cause"] == "schedule")


def _schedule(entry: Entry, before: Record | None) -> Record | None:
    """Return the schedule that holds after an entry."""
    if entry.state["status"] in _ENDING:
        return None
    if entry.config is None:
        return before
    schedule: Record | None = entry.config["wake_policy"].get("schedule")
    return schedule


def _told(event: Record) -> Told:
    payload = event["payload"]
    last = _ms(payload["scheduled_for"])
    first = _ms(payload["first"]) if "first" in payload else last
    return Told(first, last, payload.get("occurrences", 1), payload)


def _one(
    room: str, entry: Entry, one: Told, schedule: Record | None, due: int
) -> Iterator[Violation]:
    """Look at the place of an occurrence among the others."""
    place = f"entry {entry.rev}: the occurrence of {one.first}"
    if schedule is None:
        yield Violation("I2/C1", room, f"{place} has no schedule")
        return
    if one.first > due:
        yield Violation("I2/C1", room, f"{place} came when {due} was due", Kind.LOST)
    if one.first < due:
        yield Violation("I2/C1", room, f"{place} came when {due} was due", Kind.DOUBLED)
    if one.last - one.first != (one.times - 1) * schedule["every_s"] * 1000:
        yield Violation("I2/C1", room, f"{place} to {one.last} are not {one.times}")
    if one.payload["occurrence_id"] != occurrence_id(room, one.last):
        yield Violation("I2/C1", room, f"{place} has the id {one.payload['occurrence_id']}")
    if one.last > entry.at:
        yield Violation("I2/C1", room, f"{place} came before its time")


def occurrence_id(room: str, at: int) -> str:
    """Return the id of an occurrence, which is also that of the message it posts."""
    return str(uuid5(UUID(room), str(at)))


def _outcomes(
    room: str, before: Entry, entry: Entry, told: list[Told], schedule: Record
) -> Iterator[Violation]:
    """Compare what became of the occurrences that an entry ended with what the policy asks for."""
    queued = {event["payload"]["message_id"] for event in entry.of("message:queued")}
    for one in told:
        missed = one is not told[-1] or (
            schedule["misfire"] == "skip" and entry.at - one.last > MISFIRE_MS
        )
        due = _missed(entry, schedule) if missed else _kept(before, entry, schedule)
        said = (one.payload["outcome"], one.payload["reason"])
        if said != due:
            what = f"entry {entry.rev}: the occurrence of {one.last} came to {said}, not to {due}"
            yield Violation("I2/C1", room, what)
        wants = said == ("fired", None) and schedule.get("content") is not None
        if wants != (one.payload["occurrence_id"] in queued):
            what = f"entry {entry.rev}: the occurrence of {one.last} came to {said}"
            how = "without its message" if wants else "with a message"
            yield Violation("I2/C1", room, f"{what} {how}", Kind.LOST if wants else Kind.DOUBLED)


def _missed(entry: Entry, schedule: Record) -> tuple[str, str]:
    if entry.state["status"] in _ENDING:
        return "skipped", "released"
    return ("skipped" if schedule["misfire"] == "skip" else "coalesced"), "misfire"


def _kept(before: Entry, entry: Entry, schedule: Record) -> tuple[str, str | None]:
    """Return the outcome of an occurrence that was kept in time, in a room as it was before."""
    if entry.state["status"] in _ENDING:
        return "skipped", "released"
    if before.state["status"] == "failed":
        return "skipped", "room_failed"
    if before.busy and schedule["overlap"] == "skip":
        return "skipped", "overlap"
    if before.turn is not None and schedule.get("content") is None:
        return "coalesced", "overlap"
    if len(before.state["queue"]) >= QUEUE:
        return "skipped", "queue_full"
    return "fired", None


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
