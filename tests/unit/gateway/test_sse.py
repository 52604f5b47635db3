"""Frames: what a browser reads of them."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from abbotik_gateway.domain.burst import Batch, Piece
from abbotik_gateway.domain.feed import Delta, Event
from abbotik_gateway.domain.sse import (
    HEARTBEAT,
    OPENING,
    Variant,
    delta_frame,
    frames,
    notice,
    position_frame,
)

ROOM = "0197-room"


class Browser:
    """The algorithm of WHATWG HTML 9.2.6, as far as it matters here."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.dispatched: list[tuple[str, str]] = []
        self.retry = 0

    def read(self, stream: bytes) -> None:
        """Interpret a stream of whole frames."""
        id_buffer, event, data = self.last_event_id, "", ""
        for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if line == "":
                self.last_event_id = id_buffer
                if data:
                    self.dispatched.append((event or "message", data.removesuffix("\n")))
                event, data = "", ""
            elif name == "id":
                id_buffer = value
            elif name == "event":
                event = value
            elif name == "data":
                data += value + "\n"
            elif name == "retry":
                self.retry = int(value)


def event(seq: int, event_type: str = "room:wake", text: str = "") -> Event:
    """Make an event whose data says which one it is."""
    return Event(seq, event_type, 0, None, {}, orjson.dumps({"seq": seq, "text": text}))


def test_a_frame_is_id_event_data() -> None:
    """The frame has exactly the lines that the contract names."""
    assert frames(Variant(), ROOM, [event(7)]) == (
        b'id: 7\nevent: room:wake\ndata: {"seq":7,"text":""}\n\n'
    )


def test_unnamed_frames_have_no_event_line() -> None:
    """`?named=false` leaves `event:` out, for a browser's `onmessage`."""
    assert frames(Variant(named=False), ROOM, [event(7)]) == (
        b'id: 7\ndata: {"seq":7,"text":""}\n\n'
    )


def test_ids_of_a_stream_of_several_rooms_name_the_room() -> None:
    """`/llm/events` numbers with `<room>:<seq>`."""
    assert frames(Variant(prefixed=True), ROOM, [event(7)]).startswith(b"id: 0197-room:7\n")


def test_a_delta_has_no_id_and_says_its_type() -> None:
    """A reconnect after a delta resumes at the last durable event."""
    frame = delta_frame(Variant(), Delta("t", 1, b' {"turn_id":"t","text":"hi"}'))
    browser = Browser()
    browser.read(frames(Variant(), ROOM, [event(3)]) + frame)
    assert browser.last_event_id == "3"
    name, data = browser.dispatched[-1]
    assert name == "actor:delta"
    assert orjson.loads(data) == {"event_type": "actor:delta", "turn_id": "t", "text": "hi"}


def test_notices_are_no_events_of_the_room() -> None:
    """A notice has a name and no id."""
    assert notice(Variant(), "stream:end", last_seq=4) == (
        b'event: stream:end\ndata: {"event_type":"stream:end","last_seq":4}\n\n'
    )
    assert notice(Variant(named=False), "stream:end", last_seq=4).startswith(b"data: ")


def test_a_position_moves_the_id_and_dispatches_nothing() -> None:
    """A browser keeps the id of a comment frame and fires no event for it."""
    browser = Browser()
    browser.read(OPENING + HEARTBEAT + position_frame(Variant(), ROOM, 12) + HEARTBEAT)
    assert browser.last_event_id == "12"
    assert browser.dispatched == []
    assert browser.retry == 2000


def test_filtered_events_leave_one_position_behind() -> None:
    """Of events that were not asked for, only the last position travels."""
    variant = Variant(types=frozenset({"actor:output"}))
    events = [event(1), event(2, "actor:output"), event(3), event(4)]
    assert frames(variant, ROOM, events) == (
        frames(variant, ROOM, [events[1]]) + position_frame(variant, ROOM, 4)
    )
    assert frames(variant, ROOM, events[:2]) == frames(variant, ROOM, [events[1]])


def test_frames_are_made_once_per_variant() -> None:
    """All followers of a variant share the same bytes."""
    batch, piece = Batch(ROOM, [event(1), event(2)]), Piece(Delta("t", 1, b'{"turn_id":"t"}'))
    assert batch.chunk(Variant()) is batch.chunk(Variant())
    assert piece.chunk(Variant()) is piece.chunk(Variant())
    assert batch.chunk(Variant()) != batch.chunk(Variant(named=False))
    assert (batch.first, batch.last) == (1, 2)


@given(
    st.lists(st.tuples(st.sampled_from(["a:b", "c:d", "error"]), st.text()), max_size=12),
    st.sets(st.sampled_from(["a:b", "c:d", "error"])),
    st.booleans(),
)
def test_any_text_survives_and_the_id_is_always_the_last(
    said: list[tuple[str, str]], types: set[str], named: bool
) -> None:
    """No text can forge a line; whatever the filter, the browser resumes at the last event."""
    events = [event(seq, name, text) for seq, (name, text) in enumerate(said, start=1)]
    browser = Browser()
    browser.read(frames(Variant(named=named, types=frozenset(types)), ROOM, events))
    assert browser.last_event_id == (str(len(events)) if events else "")
    assert [orjson.loads(data) for _, data in browser.dispatched] == [
        {"seq": one.seq, "text": text}
        for one, (_, text) in zip(events, said, strict=True)
        if one.event_type in types
    ]
