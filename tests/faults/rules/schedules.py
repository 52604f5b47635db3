"""I2: each occurrence of a schedule ends as one event, as the policy of that schedule wants.

A schedule holds from the entry that sets it to the one that sets another or none; what was due by
then is its own still. Known are all that the load sets: `at`, `every_s`, and `cron` each minute.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

from tests.faults.history import Entry, Record, RoomLog
from tests.faults.rules.limits import QUEUE
from tests.faults.rules.violation import Kind, Violation

EVERY_MINUTE = "* * * * *"
MINUTE_MS = 60_000
# Who keeps an occurrence later than this was not there in time, in ms.
MISFIRE_MS = 30_000
_ENDING = ("releasing", "released")


class Told(NamedTuple):
    """What an event says of one occurrence, or of several missed ones; times in ms."""

    first: int
    last: int
    times: int
    payload: Record


def occurrences(log: RoomLog) -> Iterator[Violation]:
    """Follow the times of a room's schedules, each from its setting to its end."""
    schedule: Record | None = None
    due: int | None = None
    before = log.entries[0] if log.entries else None
    for entry in log.entries:
        told = [_told(event) for event in entry.of("room:wake") if _scheduled(event)]
        for one in told:
            yield from _one(log.room, entry, one, schedule, due)
            due = _next(schedule, one.last)
        if before is not None and schedule is not None:
            yield from _outcomes(log, before, entry, told, schedule)
        wanted = _schedule(entry, schedule)
        if wanted != schedule:
            yield from _changed(log.room, entry, due, wanted)
            due = _next(wanted, entry.at)
        schedule, before = wanted, entry
        yield from _waits(log.room, entry, due)


def _changed(
    room: str, entry: Entry, due: int | None, wanted: Record | None
) -> Iterator[Violation]:
    """Look at the end of a schedule whose next time was ``due``, and at the one after it."""
    if due is not None and due <= entry.at:
        what = f"the occurrence of {due} was due at the schedule's end and is left out"
        yield Violation("I2/C1", room, what, Kind.LOST)
    if wanted is not None and _next(wanted, entry.at) is None:
        what = f"entry {entry.rev} sets a schedule that can never fire: {wanted['at']}"
        yield Violation("I2/C1", room, what)


def _waits(room: str, entry: Entry, due: int | None) -> Iterator[Violation]:
    waits = entry.state["wakes"][:1]
    if waits != ([] if due is None else [due]):
        what = f"entry {entry.rev} waits for {waits}, not for {due}"
        late = due is not None and (not waits or waits[0] > due)
        yield Violation("I2/C1", room, what, Kind.LOST if late else Kind.DOUBLED)


def _next(schedule: Record | None, after: int) -> int | None:
    return None if schedule is None else next(_times(schedule, after), None)


def _times(schedule: Record, after: int) -> Iterator[int]:
    """Return the times of a schedule behind its setting, or behind an occurrence of it."""
    if schedule.get("at") is not None:
        return iter([at] if (at := _ms(schedule["at"])) > after else [])
    if schedule.get("every_s") is not None:
        every = schedule["every_s"] * 1000
        return itertools.count(after + every, every)
    if schedule["cron"] == EVERY_MINUTE:
        return itertools.count((after // MINUTE_MS + 1) * MINUTE_MS, MINUTE_MS)
    raise ValueError(f"the load sets no schedule like {schedule}")


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
    room: str, entry: Entry, one: Told, schedule: Record | None, due: int | None
) -> Iterator[Violation]:
    """Look at the place of an occurrence among the others."""
    place = f"entry {entry.rev}: the occurrence of {one.first}"
    if schedule is None:
        yield Violation("I2/C1", room, f"{place} has no schedule")
        return
    if one.first != due:
        kind = Kind.LOST if due is not None and one.first > due else Kind.DOUBLED
        yield Violation("I2/C1", room, f"{place} came when {due} was due", kind)
    rest = itertools.takewhile(lambda at: at <= one.last, _times(schedule, one.first))
    if [one.first, *rest][one.times - 1 :] != [one.last]:
        yield Violation("I2/C1", room, f"{place} to {one.last} are not {one.times}")
    if one.payload["occurrence_id"] != occurrence_id(room, one.last):
        yield Violation("I2/C1", room, f"{place} has the id {one.payload['occurrence_id']}")
    if one.last > entry.at:
        yield Violation("I2/C1", room, f"{place} came before its time")


def occurrence_id(room: str, at: int) -> str:
    """Return the id of an occurrence, which is also that of the message it posts."""
    return str(uuid5(UUID(room), str(at)))


def _outcomes(
    log: RoomLog, before: Entry, entry: Entry, told: list[Told], schedule: Record
) -> Iterator[Violation]:
    """Compare what became of the occurrences that an entry ended with what the policy asks for."""
    for one in told:
        missed = one is not told[-1] or (
            schedule["misfire"] == "skip" and entry.at - one.last > MISFIRE_MS
        )
        due = _missed(entry, schedule) if missed else _kept(before, entry, schedule)
        said = (one.payload["outcome"], one.payload["reason"])
        what = f"entry {entry.rev}: the occurrence of {one.last} came to {said}"
        if said != due:
            yield Violation("I2/C1", log.room, f"{what}, not to {due}")
        content = schedule.get("content") if said == ("fired", None) else None
        yield from _message(log, entry, one, content, what)


def _message(
    log: RoomLog, entry: Entry, one: Told, content: str | None, what: str
) -> Iterator[Violation]:
    """Look at what an occurrence posted: the schedule's content, or nothing."""
    own = one.payload["occurrence_id"]
    queued = own in [event["payload"]["message_id"] for event in entry.of("message:queued")]
    said = [message["content"] for message in log.messages if message["id"] == own]
    if queued and content is None:
        yield Violation("I2/C1", log.room, f"{what} with a message", Kind.DOUBLED)
    elif content is not None and not queued:
        yield Violation("I2/C1", log.room, f"{what} without its message", Kind.LOST)
    elif content is not None and said != [content]:
        yield Violation("I2/C1", log.room, f"{what} and says {said}, not {content!r}")


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
