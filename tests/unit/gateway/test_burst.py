"""What goes out to a room's followers as one piece."""

from __future__ import annotations

import pytest

from abbotik_gateway.domain.burst import MAX_BURST, MAX_BURST_BYTES, Batch, Gathering
from abbotik_gateway.domain.feed import Delta, Event


def _event(seq: int, size: int) -> Event:
    return Event(seq, "message:queued", 1, None, {}, b"x" * size)


@pytest.mark.parametrize(("count", "size"), [(MAX_BURST, 1), (3, MAX_BURST_BYTES // 3)])
def test_a_burst_is_full_by_number_or_by_size(count: int, size: int) -> None:
    """What comes one more goes out with the next."""
    gathering = Gathering("room")
    gathering.add_events([_event(1, size)])
    for _ in range(count - 2):
        gathering.add_delta(Delta("turn", 1, b"x" * size))
    assert not gathering.full
    gathering.add_events([_event(2, size)])
    assert gathering.full
    parts = gathering.take().parts
    assert [part.first for part in parts if isinstance(part, Batch)] == [1, 2]
    assert not gathering.full
