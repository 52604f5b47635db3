"""I4: no entry and no part of the state grows without a bound.

The numbers are the checker's own, so that a limit of the product that was lifted by mistake shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.faults.history import Entry, RoomLog
from tests.faults.rules.violation import Kind, Violation

# A queue has at most that many, and only a release withdraws, once and all of it.
QUEUE = 64
# The next times of a schedule that a room keeps.
WAKES = 5
# The executor calls one tool and waits for it.
OPEN_CALLS = 1
# Takeovers of one turn that took no step in between; at the next one it is stopped.
RECOVERIES = 5
# A command or an output, and the turn that begins with it.
KEYS = 2
# An entry beside its new content and what waits.
BESIDE_BYTES = 2048
# An id of 16 bytes and a seq, with their names.
WAITING_BYTES = 48
# The whole: this load's contents are below 1 KiB and stand in it twice, and an occurrence of a
# schedule tells of seventeen missed ones, half a KiB each.
ENTRY_BYTES = 16 * 1024


def limits(log: RoomLog) -> Iterator[Violation]:
    """Each entry and each state is within its limits, and no rev is left out."""
    for before, rev in pairwise([0, *(entry.rev for entry in log.entries)]):
        if rev != before + 1:
            what = f"entry {before} is followed by {rev}"
            kind = Kind.LOST if rev > before else Kind.DOUBLED
            yield Violation("I1", log.room, what, kind)
    for entry in log.entries:
        for name, amount, most in _measured(entry):
            if amount > most:
                what = f"entry {entry.rev}: {name} {amount}, {most} are allowed"
                yield Violation("I4", log.room, what)


def _measured(entry: Entry) -> Iterator[tuple[str, int, int]]:
    state, turn = entry.state, entry.state["turn"] or {}
    waiting = WAITING_BYTES * len(state["queue"] + state["withdrawn"])
    yield "bytes", entry.size, ENTRY_BYTES
    yield "bytes beside new content", entry.beside, BESIDE_BYTES + waiting
    yield "keys", entry.keys, KEYS
    yield "waiting messages", len(state["queue"]), QUEUE
    yield "withdrawn messages", len(state["withdrawn"]), QUEUE
    yield "next wakes", len(state["wakes"]), WAKES
    yield "open tool calls", len(turn.get("open_calls", ())), OPEN_CALLS
    yield "recoveries", turn.get("recoveries", 0), RECOVERIES
