"""The queue of one follower: bounded, and it drops in the right order."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from abbotik_gateway.handlers.following.outbox import (
    MAX_BYTES,
    MAX_EVENTS,
    SEND_BYTES,
    Chunk,
    Outbox,
)

LEG = object()


def outbox() -> Outbox:
    """Make an outbox whose last words name the position that was taken."""
    return Outbox(lambda taken: b"lagged at %d" % taken.get(LEG, -1))


def test_what_queued_up_is_taken_at_once() -> None:
    """One take gives everything, deltas between events where they were."""
    box = outbox()
    box.put(Chunk(b"a", 1, LEG, 0))
    box.put_delta(b"b")
    box.put(Chunk(b"c", 1, LEG, 1))
    assert box.take() == b"abc"
    assert box.empty


def test_one_send_takes_its_share() -> None:
    """What one send may not have stays, in order."""
    box = outbox()
    half = SEND_BYTES // 2
    for number, size in enumerate((half, half + 1, 5)):
        assert box.put(Chunk(b"x" * size, 1, LEG, number))
    assert [len(box.take()), len(box.take())] == [half, half + 6]
    assert box.empty


def test_deltas_are_dropped_first() -> None:
    """A full queue loses its deltas before an event is refused."""
    box = outbox()
    box.put(Chunk(b"a", 1, LEG, 0))
    for _ in range(MAX_EVENTS):
        box.put_delta(b"d")
    assert box.put(Chunk(b"b", 1, LEG, 1))
    assert box.take() == b"ab"
    assert not box.lagged


def test_a_reader_that_lags_is_cut_at_what_it_took() -> None:
    """Past the bound everything queued is dropped, and the last words name what was taken."""
    box = outbox()
    assert all(box.put(Chunk(b"a", 1, LEG, 40 + seq)) for seq in range(MAX_EVENTS))
    assert not box.put(Chunk(b"z", 1, LEG, 40 + MAX_EVENTS))
    assert box.lagged
    assert box.finished
    assert box.take() == b"lagged at 40"


def test_one_large_event_passes_alone() -> None:
    """An event larger than the bound goes out if nothing else waits."""
    box = outbox()
    large = b"x" * (MAX_BYTES + 1)
    assert box.put(Chunk(large, 1, LEG, 0))
    assert box.take() == large
    assert box.put(Chunk(large, 1, LEG, 0))
    assert not box.put(Chunk(b"y", 1, LEG, 1))


def test_nothing_follows_the_end() -> None:
    """After the last frame, and after the reader has gone, nothing is queued."""
    box = outbox()
    box.finish(b"bye")
    box.put_delta(b"d")
    assert not box.put(Chunk(b"a", 1, LEG, 0))
    assert box.take() == b"bye"
    box.abandon()
    assert box.gone
    assert box.empty


@given(st.lists(st.tuples(st.sampled_from("edt"), st.integers(1, 100_000)), max_size=60))
def test_it_never_holds_more_than_its_bound(steps: list[tuple[str, int]]) -> None:
    """Whatever is put, one chunk or 128 KiB and 256 events is all that is ever held, in order."""
    box, seq, taken = outbox(), 0, bytearray()
    for step, size in steps:
        if step == "t":
            taken += box.take()
        elif step == "d":
            box.put_delta(b"d" * size)
        elif box.put(Chunk(b"%d " % (seq + 1) + b"e" * size, 1, LEG, seq)):
            seq += 1
        assert len(box._chunks) <= 1 or box._bytes <= MAX_BYTES
        assert box._events <= MAX_EVENTS
        assert box._bytes == sum(len(chunk.data) for chunk in box._chunks)
    while not box.empty:
        taken += box.take()
    whole = [int(number) for number in re.findall(rb"(\d+) e+", taken)]
    assert whole == list(range(1, len(whole) + 1))
    assert box.lagged or len(whole) == seq
