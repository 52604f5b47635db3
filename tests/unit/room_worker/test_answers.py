"""What the caller of a command is told."""

from __future__ import annotations

from typing import cast

import pytest

from abbotik_contracts.errors import ERRORS
from abbotik_contracts.policies import Actor
from abbotik_contracts.room_commands import RoomCommand
from abbotik_contracts.room_log import Record
from abbotik_room_worker import answers
from abbotik_room_worker.domain.draft import Refusal
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.domain.turns import Claim
from abbotik_room_worker.sealing import Sealed, seal, seal_refusal
from tests.unit.room_worker.rooms import (
    ROOM,
    T0,
    TURN,
    active,
    asked,
    claim,
    drafted,
    interrupt,
    message,
    patch,
    release,
    rent,
    rented,
    uid,
    wake,
)


def _sealed(room: Room | None, command: RoomCommand, begin: Claim | None = None) -> Sealed:
    return seal(drafted(asked(room, command, begin=begin)), "s", 1)


def _data(sealed: Sealed) -> Record:
    outcome = answers.of_entry(sealed.entry, sealed.room.config_record)
    assert outcome["ok"] is True
    assert outcome["rev"] == sealed.room.rev
    assert isinstance(outcome["data"], dict)
    return outcome["data"]


def test_message_is_answered_with_its_record_and_its_event() -> None:
    """The seq of the answer is that of `message:queued`; the message waits or runs."""
    sealed = _sealed(rented(), message(2))
    assert answers.of_entry(sealed.entry, sealed.room.config_record)["seq"] == 2
    data = _data(sealed)
    assert (data["id"], data["seq"], data["state"], data["turn_id"]) == (uid(2), 1, "queued", None)
    running = _data(_sealed(rented(), message(2), claim()))
    assert (running["state"], running["turn_id"]) == ("applied", TURN)


def test_message_that_began_anothers_turn_is_still_queued() -> None:
    """The turn in the entry belongs to the message that waited longer."""
    waiting = _sealed(rented(), message(2)).room
    data = _data(_sealed(waiting, message(3), claim()))
    assert (data["id"], data["state"], data["turn_id"]) == (uid(3), "queued", None)


@pytest.mark.parametrize(
    ("room", "command", "status"),
    [
        (None, rent(1), "rented"),
        (rented(), patch(5, purpose="new"), "rented"),
        (rented(), wake(5), "rented"),
        (rented(), release(5), "released"),
        (active(), release(5), "releasing"),
    ],
)
def test_other_commands_are_answered_with_the_room(
    room: Room | None, command: RoomCommand, status: str
) -> None:
    """The room as it is after the commit."""
    data = _data(_sealed(room, command))
    assert (data["id"], data["status"]) == (ROOM, status)


def test_interrupt_is_answered_with_the_turn() -> None:
    """The turn that was told to stop; there is no event, so no seq."""
    sealed = _sealed(active(), interrupt(5))
    assert _data(sealed) == {"turn_id": TURN, "status": "interrupting"}
    assert answers.of_entry(sealed.entry, sealed.room.config_record)["seq"] == 0


def test_refusal_is_answered_with_its_status() -> None:
    """A refusal that the log remembers is told like a fresh one."""
    refusal = Refusal("ROOM_BUSY", "detail", extra={"n": 1})
    sealed = seal_refusal(rented(), refusal, uid(9), T0, "s", 1)
    expected = {
        "ok": False,
        "code": "ROOM_BUSY",
        "detail": "detail",
        "status": 409,
        "extra": {"n": 1},
    }
    assert answers.refused(refusal) == expected
    assert answers.of_entry(sealed.entry, sealed.room.config_record) == expected


def test_every_refusal_has_a_row_in_the_table() -> None:
    """A code without a status could not be answered."""
    for code in ("ROOM_NOT_FOUND", "ROOM_RELEASED", "ROOM_BUSY", "ROOM_QUEUE_FULL",
                 "ROOM_NOT_RUNNING", "PRECONDITION_FAILED", "VALIDATION_FAILED",
                 "POLICY_NOT_SUPPORTED", "ILLEGAL_TRANSITION"):  # fmt: skip
        assert answers.refused(Refusal(code, ""))["status"] == ERRORS[code].status


def test_provider_that_is_not_there_is_a_warning() -> None:
    """Rent is not refused for it, but says that turns will fail."""
    elsewhere = Actor(agent_id="critic", provider="elsewhere")
    data = _data(_sealed(None, rent(1, actors=[elsewhere])))
    (warning,) = cast("list[str]", data["warnings"])
    assert warning.startswith("actor critic: provider 'elsewhere' is not configured here")
    assert "PROVIDER_NOT_CONFIGURED" in warning
    assert "warnings" not in _data(_sealed(None, rent(1)))


def test_command_that_found_nothing_to_do_is_answered_with_the_room_as_it_is() -> None:
    """No entry, no event: the room and where its log stands."""
    room = rented()
    outcome = answers.of_room(room)
    assert (outcome["ok"], outcome["seq"], outcome["rev"]) == (True, room.last_event_seq, room.rev)
