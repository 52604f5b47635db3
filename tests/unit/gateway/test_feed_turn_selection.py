"""Which events belong to one message's turn."""

from __future__ import annotations

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain.feed import Event
from abbotik_gateway.domain.turn_selection import TurnSelection


def log(*rows: tuple[str, str | None, Record]) -> list[Event]:
    """Make events of rows (type, turn, payload)."""
    return [
        Event(seq, kind, 0, turn, body, b"{}") for seq, (kind, turn, body) in enumerate(rows, 1)
    ]


OTHER: tuple[str, str | None, Record] = ("actor:turn_start", "t0", {"message_id": "m0"})


def test_a_turn_is_its_message_and_what_carries_its_id() -> None:
    """Queued, start, steps, output and end are taken; other turns and the room's own are not."""
    selection = TurnSelection("m1")
    taken = selection.take(
        log(
            ("message:queued", None, {"message_id": "m0"}),
            ("message:queued", None, {"message_id": "m1"}),
            OTHER,
            ("actor:output", "t0", {"message_id": "o0"}),
            ("actor:turn_end", "t0", {"message_id": "m0", "status": "completed"}),
            ("actor:turn_start", "t1", {"message_id": "m1"}),
            ("tool:start", "t1", {"call_id": "c"}),
            ("room:recovered", "t1", {}),
            ("actor:output", "t1", {"message_id": "o1"}),
            ("actor:turn_end", "t1", {"message_id": "m1", "status": "failed"}),
            ("error", "t1", {}),
            ("room:idle", None, {}),
        )
    )
    assert [event.seq for event in taken] == [2, 6, 7, 8, 9, 10]
    end = selection.end
    assert end is not None
    assert (end.turn_id, end.status, end.output_ids, end.seq) == ("t1", "failed", ("o1",), 10)


def test_a_withdrawn_message_ends_it() -> None:
    """A message that was withdrawn gets no turn."""
    selection = TurnSelection("m1")
    selection.take(log(OTHER, ("message:withdrawn", None, {"message_id": "m1"})))
    assert selection.end is not None
    assert (selection.end.turn_id, selection.end.status) == (None, "withdrawn")


def test_a_released_room_ends_it() -> None:
    """After the release no turn can begin."""
    selection = TurnSelection("m1")
    taken = selection.take(log(OTHER, ("room:released", None, {})))
    assert [event.seq for event in taken] == [2]
    assert selection.end is not None


def test_somebody_elses_withdrawal_does_not() -> None:
    """Other messages come and go."""
    selection = TurnSelection("m1")
    assert selection.take(log(("message:withdrawn", None, {"message_id": "m0"}))) == []
    assert selection.end is None
