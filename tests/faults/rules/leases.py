"""I6/C5: one worker's session takes the steps of an epoch, whoever commits commands meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.history import Entry, RoomLog
from tests.faults.rules.violation import Kind, Violation

# What only the running turn may add to the log.
OF_A_TURN = ("actor:output", "actor:turn_end", "tool:start", "tool:end")
# And what makes the session that commits it the holder.
_TAKES = ("actor:turn_start", "room:recovered")


def leases(log: RoomLog) -> Iterator[Violation]:
    """Nobody but its holder takes steps under an epoch, and nobody else gives its lease away.

    Whoever ends a turn in place of a holder that is gone, or that let a deadline pass, does so
    under the next epoch, which is then its own.
    """
    holders: dict[int, str] = {}
    for before, entry in log.steps:
        place = f"entry {entry.rev} of {entry.session}"
        epoch = entry.state["epoch"]
        if epoch - before.state["epoch"] not in (0, 1):
            what = f"{place} has epoch {epoch} after {before.state['epoch']}"
            yield Violation("C3", log.room, what, Kind.DISORDERED)
        if _is_step(entry):
            holder = holders.setdefault(epoch, entry.session)
            if holder != entry.session:
                what = f"{place} takes a step under epoch {epoch} of {holder}"
                yield Violation("I6/C5", log.room, what)
        yield from _given(log.room, place, before, entry)


def _is_step(entry: Entry) -> bool:
    return any(event["event_type"] in (*OF_A_TURN, *_TAKES) for event in entry.events)


def _given(room: str, place: str, before: Entry, entry: Entry) -> Iterator[Violation]:
    """Look at what an entry did to the lease."""
    had, has, epoch = before.state["lease"], entry.state["lease"], entry.state["epoch"]
    takes = epoch == before.state["epoch"] + 1
    if takes:
        if not _is_step(entry):
            yield Violation("I6/C5", room, f"{place} begins epoch {epoch} without a step")
        if has is not None and has != {"session": entry.session, "epoch": epoch}:
            yield Violation("I6/C5", room, f"{place} gives epoch {epoch} to {has}")
        return
    mine = had is not None and had["session"] == entry.session
    if _is_step(entry) and not mine:
        yield Violation("I6/C5", room, f"{place} takes a step, the lease is {had}")
    if has != had and not (has is None and mine):
        yield Violation("I6/C5", room, f"{place} makes the lease {has}, it was {had}")
