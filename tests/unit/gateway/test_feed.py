"""The tail of a room: any mixture of bus and log becomes the log."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abbotik_gateway.domain.feed import (
    MAX_AHEAD,
    Delta,
    Event,
    Tail,
    UnreadableSignalError,
    read_delta,
    read_events,
)


def event(
    seq: int, event_type: str = "room:wake", turn: str | None = None, epoch: int = 0
) -> Event:
    """Make an event."""
    return Event(seq, event_type, epoch, turn, {}, b"{}")


def seqs(events: list[Event]) -> list[int]:
    """Return the positions of events."""
    return [one.seq for one in events]


def test_events_in_order_pass_at_once() -> None:
    """What comes in order passes as it comes."""
    tail = Tail(3)
    assert seqs(tail.offer([event(4), event(5)])) == [4, 5]
    assert tail.seq == 5
    assert not tail.hole


def test_doubles_are_dropped() -> None:
    """An event passes once, however often it comes."""
    tail = Tail(0)
    assert seqs(tail.offer([event(1), event(1), event(2)])) == [1, 2]
    assert tail.offer([event(1), event(2)]) == []


def test_a_hole_holds_back_what_follows_until_it_is_filled() -> None:
    """Nothing passes over a hole; the fill lets everything behind it through."""
    tail = Tail(0)
    assert tail.offer([event(2), event(4)]) == []
    assert tail.hole
    assert seqs(tail.offer([event(1)])) == [1, 2]
    assert tail.hole
    assert seqs(tail.offer([event(3)])) == [3, 4]
    assert not tail.hole


def test_what_does_not_fit_is_still_known_to_be_missing() -> None:
    """More early events than fit are forgotten, but the hole stays known until the log fills it."""
    tail = Tail(0)
    last = MAX_AHEAD + 10
    tail.offer([event(seq) for seq in range(2, last + 1)])
    assert seqs(tail.offer([event(1)])) == list(range(1, MAX_AHEAD + 2))
    assert tail.hole
    assert seqs(tail.offer([event(seq) for seq in range(1, last + 1)])) == list(
        range(MAX_AHEAD + 2, last + 1)
    )
    assert not tail.hole


@given(st.data())
def test_any_interleaving_of_bus_and_log_gives_the_log(data: st.DataObject) -> None:
    """Whatever the bus loses, doubles or mixes up, what passed is a prefix of the log."""
    committed = data.draw(st.integers(0, 40), label="committed")
    tail = Tail(base := data.draw(st.integers(0, committed), label="base"))
    passed: list[int] = []
    for _ in range(data.draw(st.integers(0, 20), label="steps")):
        if data.draw(st.booleans(), label="from the log"):
            size = data.draw(st.integers(0, 10), label="page")
            page = range(tail.seq + 1, min(committed, tail.seq + size) + 1)
            passed += seqs(tail.offer([event(seq) for seq in page]))
        elif committed:
            live = data.draw(st.lists(st.integers(1, committed), max_size=6), label="live")
            passed += seqs(tail.offer([event(seq) for seq in live]))
        assert passed == list(range(base + 1, base + len(passed) + 1))
        assert tail.seq == base + len(passed)
    passed += seqs(tail.offer([event(seq) for seq in range(tail.seq + 1, committed + 1)]))
    assert passed == list(range(base + 1, committed + 1))
    assert not tail.hole


def test_deltas_belong_to_a_turn_that_runs() -> None:
    """A delta passes only between its turn's start and end."""
    tail = Tail(0)
    assert not tail.takes(Delta("t", 1, b"{}"))
    tail.offer([event(1, "actor:turn_start", "t", 1)])
    assert tail.takes(Delta("t", 1, b"{}"))
    assert not tail.takes(Delta("other", 1, b"{}"))
    tail.offer([event(2, "actor:turn_end", "t", 1)])
    assert not tail.takes(Delta("t", 1, b"{}"))


def test_deltas_of_an_older_epoch_are_dropped() -> None:
    """Once an event or a delta showed a newer epoch, the old holder's text is not passed on."""
    tail = Tail(7, epoch=2, turn_id="t")
    assert tail.takes(Delta("t", 2, b"{}"))
    tail.offer([event(8, "room:recovered", "t", 3)])
    assert not tail.takes(Delta("t", 2, b"{}"))
    assert tail.takes(Delta("t", 4, b"{}"))
    assert not tail.takes(Delta("t", 3, b"{}"))


def test_a_delta_in_front_of_a_hole_is_dropped() -> None:
    """Text of a turn whose start is still missing does not overtake it."""
    tail = Tail(0)
    tail.offer([event(2, "actor:turn_start", "t", 1)])
    assert not tail.takes(Delta("t", 1, b"{}"))
    tail.offer([event(1)])
    assert tail.takes(Delta("t", 1, b"{}"))


def test_the_release_is_noted() -> None:
    """After `room:released` nothing can follow."""
    tail = Tail(0)
    tail.offer([event(1, "room:released")])
    assert tail.released


def wire(seq: int) -> dict[str, object]:
    """Make a wire event of room `r`."""
    return {
        "room_id": "r",
        "seq": seq,
        "event_type": "room:wake",
        "epoch": 0,
        "turn_id": None,
        "payload": {"text": "a\r\nb"},
    }


def test_published_lines_are_passed_on_as_bytes() -> None:
    """The wire's bytes are the worker's, a line an event."""
    lines = [orjson.dumps(wire(1)), orjson.dumps(wire(2))]
    found = read_events("r", b"\n".join(lines) + b"\n")
    assert [one.data for one in found] == lines
    assert seqs(found) == [1, 2]


def test_line_breaks_between_tokens_cannot_end_a_field() -> None:
    """JSON with a carriage return between its tokens is written anew."""
    (found,) = read_events("r", orjson.dumps(wire(1)).replace(b",", b",\r"))
    assert b"\r" not in found.data
    assert orjson.loads(found.data) == wire(1)
    spread = b'{"turn_id":"t",\n"epoch":1}'
    assert read_delta(spread).data == b'{"turn_id":"t","epoch":1}'


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"[1]",
        b"{}",
        orjson.dumps({**wire(1), "room_id": "other"}),
        orjson.dumps({**wire(1), "seq": "1"}),
        orjson.dumps({**wire(1), "payload": None}),
        orjson.dumps(wire(1)).replace(b"wake", b"wak\xff"),
        orjson.dumps(wire(1)).replace(b'{"text"', b'{"deep":' + b"[" * 5000 + b',"text"'),
        orjson.dumps(wire(1)).replace(b",", b",\r").replace(b"room:wake", b"room:\xffake"),
    ],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    """A message that is not what its subject promises raises, so that the log is read instead."""
    with pytest.raises(UnreadableSignalError):
        read_events("r", body)


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"[]",
        b'{"turn_id":"t"}',
        b'{"turn_id":1,"epoch":1}',
        b'{"turn_id":"t","epoch":1,"text":"\xff"}',
    ],
)
def test_what_is_no_delta_is_refused(body: bytes) -> None:
    """A delta names its turn and its epoch."""
    with pytest.raises(UnreadableSignalError):
        read_delta(body)
