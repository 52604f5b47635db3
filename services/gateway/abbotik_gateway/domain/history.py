"""How much of a room fits into one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from abbotik_contracts.room_log import Record

MAX_BYTES = 4 * 1024 * 1024
# What the envelope and the room itself may take of it: a configuration, a result, and their frame.
ROOM_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Window:
    """Which seqs of a list are asked for: above ``after``, below ``before``, at most ``limit``.

    ``forward`` says which end is kept when they do not all fit: the oldest, or the newest.
    """

    after: int
    before: int
    limit: int
    forward: bool

    @property
    def asked(self) -> range:
        """The seqs that are asked for, all of them, whether they fit or not."""
        return range(self.after + 1, max(self.before, self.after + 1))

    @property
    def wanted(self) -> range:
        """The seqs that may go into the answer, by ``limit``."""
        asked = self.asked
        return asked[: self.limit] if self.forward else asked[-self.limit :]


def window(last: int, after: int | None, before: int | None, limit: int) -> Window:
    """Return the window that the parameters ask for; ``last`` is the newest seq that exists.

    With ``after`` it goes forward from there, else it ends at ``before`` or at the newest.
    """
    end = last + 1 if before is None else min(before, last + 1)
    return Window(after or 0, end, limit, forward=after is not None)


@dataclass(frozen=True, slots=True)
class Sized:
    """A record with the bytes that it takes in an answer."""

    record: Record
    size: int


def sized(record: Record) -> Sized:
    """Measure a record."""
    return Sized(record, len(orjson.dumps(record)) + 1)


def fitting(rows: Sequence[Sized], budget: int, *, forward: bool) -> list[Sized]:
    """Return the rows that fit, from the old end or from the new one, in their order.

    The first is always among them, else a list could never get past it.
    """
    kept: list[Sized] = []
    for row in rows if forward else reversed(rows):
        budget -= row.size
        if budget < 0 and kept:
            break
        kept.append(row)
    return kept if forward else kept[::-1]


def share(messages: Sequence[Sized], events: Sequence[Sized], budget: int) -> tuple[int, int]:
    """Divide the budget: each list gets half, and what the other one leaves of its half."""
    half = budget // 2
    taken_by_events = min(half, sum(row.size for row in events))
    for_messages = budget - taken_by_events
    taken_by_messages = min(for_messages, sum(row.size for row in messages))
    return for_messages, budget - taken_by_messages
