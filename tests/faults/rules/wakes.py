"""I2: an accepted wake is one event; its content is one message, and without one there is none.

Every wake of the load has its key as its reason, so the log shows whose it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.faults.history import Call, Entry, Record, RoomLog
from tests.faults.rules.calls import by_key, refused
from tests.faults.rules.violation import Kind, Violation, once


def wakes(log: RoomLog, asked: list[Call]) -> Iterator[Violation]:
    """Compare the wakes in the log, but those of schedules, with what the callers were told."""
    done: dict[str, list[Entry]] = defaultdict(list)
    for before, entry in log.steps:
        for event in _explicit(entry):
            done[event["payload"]["reason"]].append(entry)
            yield from _outcome(log.room, before, event)
    tries = by_key(asked)
    for key in sorted(set(done) - set(tries), key=str):
        yield Violation("I2/C1", log.room, f"nobody asked for the wake {key}")
    for key, calls in tries.items():
        if calls[-1].accepted or len(done[key]) > 1:
            yield from once(log.room, f"wake {key}", "room:wake", len(done[key]))
        if done[key] and refused(calls):
            yield Violation("I2/C1", log.room, f"wake {key} was refused, the log has it")
        yield from _message(log, key, calls[0].body.get("content"), done[key])


def _explicit(entry: Entry) -> list[Record]:
    return [event for event in entry.of("room:wake") if event["payload"]["cause"] != "schedule"]


def _outcome(room: str, before: Entry, event: Record) -> Iterator[Violation]:
    outcome, due = event["payload"]["outcome"], "coalesced" if before.turn else "fired"
    if outcome != due:
        what = f"event {event['seq']}: a wake came to {outcome}, not to {due}"
        yield Violation("I2/C1", room, what)


def _message(log: RoomLog, key: str, content: str | None, done: list[Entry]) -> Iterator[Violation]:
    """Look at what a wake posted. No other request of the load has its content."""
    own = [event["payload"]["occurrence_id"] for entry in done for event in _explicit(entry)]
    wanted = [] if content is None else own
    queued = [
        event["payload"]["message_id"] for entry in done for event in entry.of("message:queued")
    ]
    yield from _compared(log.room, f"wake {key} queued", queued, wanted)
    if content is not None:
        said = [one["id"] for one in log.of_users if one["content"] == content]
        yield from _compared(log.room, f"the content of wake {key} is in", said, wanted)


def _compared(room: str, what: str, found: list[str], wanted: list[str]) -> Iterator[Violation]:
    if found != wanted:
        kind = Kind.LOST if len(found) < len(wanted) else Kind.DOUBLED
        yield Violation("I2/C1", room, f"{what} {found}, not {wanted}", kind)
