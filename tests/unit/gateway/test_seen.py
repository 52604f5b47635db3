"""No read goes behind what this process told already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from abbotik_contracts.room_log import LogEntry
from abbotik_gateway.handlers import seen
from abbotik_gateway.handlers.seen import SeenRevs
from abbotik_gateway.ports import UnavailableError
from abbotik_kernel.retry import Backoff


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_PAUSE", Backoff(first=0.0, ceiling=0.0))


class Reads:
    """A read that gives one rev after the other, 0 for no entry, the last one for ever."""

    def __init__(self, *revs: int) -> None:
        self._revs: Iterator[int] = iter(revs)
        self._now = 0
        self.count = 0

    async def __call__(self) -> LogEntry | None:
        """Return the next entry."""
        self.count += 1
        self._now = next(self._revs, self._now)
        entry: Any = {"rev": self._now}
        return entry if self._now else None


async def _newest(revs: SeenRevs, room: str, read: Reads) -> int:
    entry = await revs.newest("acme", room, read)
    return 0 if entry is None else entry["rev"]


async def test_a_read_that_is_not_behind_is_taken_at_once() -> None:
    """One read, and what it shows is remembered."""
    revs = SeenRevs()
    revs.note("acme", "r", 3)
    read = Reads(5)
    assert await _newest(revs, "r", read) == 5
    assert read.count == 1
    behind = Reads(4, 4, 6)
    assert await _newest(revs, "r", behind) == 6
    assert behind.count == 3


async def test_a_read_that_stays_behind_is_not_shown() -> None:
    """503 in the end, never an older room, nor no room at all."""
    revs = SeenRevs()
    revs.note("acme", "r", 3)
    for read in (Reads(2), Reads(0)):
        with pytest.raises(UnavailableError):
            await revs.newest("acme", "r", read)
        assert read.count > 2


async def test_a_room_is_its_tenants() -> None:
    """Another tenant's look at the id is as quick as at any unknown one."""
    revs = SeenRevs()
    revs.note("acme", "r", 3)
    read = Reads(0)
    assert await revs.newest("other", "r", read) is None
    assert read.count == 1


async def test_what_is_remembered_is_bounded() -> None:
    """The rooms that were used least lately are forgotten first."""
    revs = SeenRevs(max_rooms=2)
    for room in ("a", "b", "a", "c"):
        revs.note("acme", room, 9)
    assert await _newest(revs, "b", Reads(1)) == 1
    with pytest.raises(UnavailableError):
        await revs.newest("acme", "c", Reads(1))


def test_an_older_rev_changes_nothing() -> None:
    """Outcomes may arrive in any order."""
    revs = SeenRevs()
    revs.note("acme", "r", 5)
    revs.note("acme", "r", 3)
    assert revs._revs["acme", "r"] == 5
