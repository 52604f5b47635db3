"""What callers were told: in time, with one answer for each key, and as the log has it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

from abbotik_contracts.errors import ERRORS
from tests.faults.history import Call, Fault, History, RoomLog
from tests.faults.rules.violation import Kind, Violation

ANSWER_S = 5.5
# So much the workers' clock, which is the database's from afar, may be ahead of the load's.
CLOCKS_S = 1.0
# A process that is down or paused itself cannot answer; one that is cut off from others must.
UNANSWERING = ("kill", "pause", "term", "power-cut")
# Refusals that say nothing of what becomes of the same request when it is sent again.
OPEN = (
    *("COMMAND_UNCONFIRMED", "SERVICE_UNAVAILABLE", "IDEMPOTENCY_IN_PROGRESS", "RATE_LIMITED"),
    "INTERNAL",
)
# Those that a request may get for good. A refused interrupt has rules of its own.
REFUSALS = {
    "rent": (),
    "post": ("ROOM_RELEASED",),
    "reject": ("ROOM_RELEASED", "ROOM_BUSY"),
    "interrupt": ("ROOM_NOT_RUNNING",),
    "wake": ("ROOM_RELEASED",),
    "patch": ("ROOM_RELEASED", "PRECONDITION_FAILED"),
    "release": (),
}


def by_key(calls: Iterable[Call]) -> dict[str, list[Call]]:
    """Return the tries of each key."""
    tries: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        tries[call.key].append(call)
    return tries


def final(call: Call) -> bool:
    """Say whether the answer settles what became of the request."""
    return call.status is not None and call.error not in OPEN


def refused(tries: list[Call]) -> bool:
    """Say whether a key was refused for good."""
    return any(final(call) and not call.accepted for call in tries)


def in_time(call: Call, fault: Fault) -> Iterator[Violation]:
    """C6: each call ended in time, with 2xx or a typed error."""
    what = f"{call.what} to {call.gateway} {call.began - fault.began:+.2f} s from the fault"
    down = (
        call.gateway in (fault.victim, *fault.others)
        and fault.kind in UNANSWERING
        and fault.disturbs(call.began, call.ended, 0)
    )
    if call.took_s > ANSWER_S and not (down and fault.kind == "pause"):
        yield Violation("C6", call.room, f"{what} took {call.took_s:.2f} s")
    elif call.status is None and not down:
        yield Violation("C6", call.room, f"{what} was not answered: {call.error}")
    elif call.status is not None and not call.accepted and call.error not in ERRORS:
        yield Violation("C6", call.room, f"{what} got {call.status} without a known error_code")
    elif call.error == "INTERNAL":
        yield Violation("C6", call.room, f"{what} got {call.status} INTERNAL")


def answered(history: History) -> Iterator[Violation]:
    """Each key comes to one answer in the end, and keeps it however often it is sent again."""
    released = {log.room for log in history.logs if log.released}
    asked = [call for call in history.calls if call.what != "follow"]
    for key, tries in by_key(asked).items():
        last = tries[-1]
        told = {call.told for call in tries if call.accepted}
        answers = {call.error for call in tries if final(call)}
        if len(told) > 1 or len(answers) > 1:
            found = [call.told or call.error for call in tries if final(call)]
            yield Violation("I2/C1", last.room, f"key {key} was told {found}")
        if last.what == "release" and told and last.room not in released:
            yield Violation("I2/C1", last.room, "the release is missing", Kind.LOST)
        if not told and not _may_refuse(last, released):
            what = f"{last.what} with key {key} was not accepted in {len(tries)} tries"
            yield Violation("C6", last.room, f"{what}; the last: {last.error}")


def _may_refuse(call: Call, released: set[str]) -> bool:
    """Only a released room may refuse for good, or where the request made a condition for it.

    A schedule's only time has to be ahead, which it may not be any more after many tries.
    """
    what = "reject" if call.body.get("delivery") == "reject" else call.what
    if call.error == "ROOM_RELEASED" and call.room not in released:
        return False
    if call.error == "PRECONDITION_FAILED" and not call.if_match:
        return False
    if call.error == "VALIDATION_FAILED":
        return _only_time(call) < call.ended + CLOCKS_S
    return call.error in REFUSALS[what]


def _only_time(call: Call) -> float:
    """Return when the schedule that was asked for fires, if that is only once."""
    schedule = call.body.get("wake_policy", {}).get("schedule") or {}
    at = schedule.get("at")
    return datetime.fromisoformat(at).timestamp() if at else math.inf


def keys(log: RoomLog, posts: list[Call]) -> Iterator[Violation]:
    """Each post has a text of its own, so the log shows how often its key was carried out."""
    by_content: dict[str, list[str]] = defaultdict(list)
    for message in log.of_users:
        by_content[message["content"]].append(message["id"])
    for key, tries in by_key(posts).items():
        stored = by_content[tries[0].body["content"]]
        told = {call.told for call in tries if call.accepted}
        if len(stored) > 1:
            what = f"key {key} was carried out {len(stored)} times"
            yield Violation("I2/C1", log.room, what, Kind.DOUBLED)
        if not told <= set(stored):
            what = f"key {key} was told {sorted(told)}, the log has {stored}"
            yield Violation("I2/C1", log.room, what)
        if stored and refused(tries):
            yield Violation("I2/C1", log.room, f"key {key} was refused, the log has {stored}")


def rejects(log: RoomLog, posts: list[Call]) -> Iterator[Violation]:
    """Look at `reject`: a room at rest takes the message, and only a busy one refuses it."""
    wanted = {
        call.told for call in posts if call.accepted and call.body.get("delivery") == "reject"
    }
    for before, entry in log.steps:
        queued = {event["payload"]["message_id"] for event in entry.of("message:queued")}
        if before.busy and wanted & queued:
            what = f"entry {entry.rev}: {min(wanted & queued)} with delivery reject met a busy room"
            yield Violation("I2/C1", log.room, what)
        if entry.answer.get("code") == "ROOM_BUSY" and not before.busy:
            yield Violation("I2/C1", log.room, f"entry {entry.rev}: ROOM_BUSY of a room at rest")
