"""Rooms and commands that the tests of the domain begin with."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from abbotik_contracts.policies import WakePolicy
from abbotik_contracts.room_bodies import (
    InterruptBody,
    MessageBody,
    ReleaseBody,
    RentBody,
    WakeBody,
)
from abbotik_contracts.room_commands import (
    InterruptRoom,
    PatchChange,
    PatchRoom,
    PostMessage,
    ReleaseRoom,
    RentRoom,
    RoomCommand,
    WakeRoom,
)
from abbotik_room_worker.domain.decide import HolderCommand, decide, decide_held
from abbotik_room_worker.domain.draft import Decision, Draft, Nothing, Refusal
from abbotik_room_worker.domain.ending import Finish
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.domain.ticks import Tick
from abbotik_room_worker.domain.turns import Claim

T0 = 1_769_851_800_000
TENANT = "acme"
TIMEOUT_MS = 900_000
AROUND = Circumstances(provider="scripted", model="scripted-1")


def uid(number: int) -> str:
    """Return a UUID that a test can tell at sight."""
    return f"00000000-0000-7000-8000-{number:012d}"


ROOM = uid(0)
TURN = uid(900)


def _at(number: int) -> dict[str, Any]:
    return {"id": uid(number), "tenant": TENANT, "room": ROOM, "caller": "ada"}


def rent(number: int = 1, **body: Any) -> RentRoom:
    """Return a rent with that command id."""
    return RentRoom(**_at(number), body=RentBody(**body))


def message(number: int, content: str = "hello", **body: Any) -> PostMessage:
    """Return a message with that id."""
    return PostMessage(**_at(number), body=MessageBody(content=content, **body))


def wake(number: int, **body: Any) -> WakeRoom:
    """Return a wake."""
    return WakeRoom(**_at(number), body=WakeBody(**body))


def interrupt(number: int, **body: Any) -> InterruptRoom:
    """Return an interrupt."""
    return InterruptRoom(**_at(number), body=InterruptBody(**body))


def release(number: int, **body: Any) -> ReleaseRoom:
    """Return a release."""
    return ReleaseRoom(**_at(number), body=ReleaseBody(**body))


def patch(number: int, if_match: int | None = None, **members: Any) -> PatchRoom:
    """Return a patch of these members."""
    return PatchRoom(**_at(number), body=PatchChange(patch=members, if_match=if_match))


def claim(session: str = "w1", turn: str = TURN) -> Claim:
    """Return a claim by a session."""
    return Claim(session, turn, TIMEOUT_MS)


def finish(room: Room, status: str = "completed", **members: Any) -> Finish:
    """Return the end of the room's turn, by whoever holds it."""
    assert room.turn is not None
    assert room.lease is not None
    values: dict[str, Any] = {
        "session": room.lease.session,
        "epoch": room.lease.epoch,
        "turn_id": room.turn.id,
        "status": status,
        "output_id": uid(990),
        "output": "answer",
    }
    return Finish(**{**values, **members})


def asked(
    room: Room | None,
    command: RoomCommand,
    now: int = T0,
    *,
    begin: Claim | None = None,
    around: Circumstances = AROUND,
) -> Decision:
    """Decide a caller's command; ``begin`` is the free slot that the worker has."""
    return decide(room, command, now, around._replace(claim=begin))


def held(room: Room, command: HolderCommand, now: int = T0) -> Decision:
    """Decide a worker's command."""
    return decide_held(room, command, now)


def drafted(decision: Decision) -> Draft:
    """Return the decision, which must be a draft."""
    assert isinstance(decision, Draft), decision
    return decision


def refused(decision: Decision) -> Refusal:
    """Return the decision, which must be a refusal."""
    assert isinstance(decision, Refusal), decision
    return decision


def undone(decision: Decision) -> Nothing:
    """Return the decision, which must be to do nothing."""
    assert isinstance(decision, Nothing), decision
    return decision


def after(decision: Decision) -> Room:
    """Return the room that a draft leads to."""
    return drafted(decision).room


def types(decision: Decision) -> list[str]:
    """Return the types of a draft's events, in order."""
    return [event.type for event in drafted(decision).events]


def payload(decision: Decision, event_type: str) -> dict[str, JsonValue]:
    """Return the payload of a draft's only event of that type."""
    (found,) = [event.payload for event in drafted(decision).events if event.type == event_type]
    return found


def rented(**config: Any) -> Room:
    """Return a room as it is rented."""
    return after(asked(None, rent(1, **config)))


def active(**config: Any) -> Room:
    """Return a room whose first message, id 2, has its turn running at `w1`."""
    return after(asked(rented(**config), message(2), begin=claim()))


def idle(**config: Any) -> Room:
    """Return a room after one good turn."""
    room = active(**config)
    return after(held(room, finish(room)))


def failed(**config: Any) -> Room:
    """Return a room after one failed turn."""
    room = active(**config)
    return after(held(room, finish(room, "failed", error_code="EXECUTOR_FAILED")))


def sleeping(**config: Any) -> Room:
    """Return a room that fell asleep after 5 seconds, at T0 + 5 s."""
    room = idle(wake_policy=WakePolicy(sleep_after_s=5), **config)
    return after(held(room, Tick("w1", 8), T0 + 5_000))


def releasing(**config: Any) -> Room:
    """Return a room whose release waits for its turn."""
    return after(asked(active(**config), release(3)))


def released(**config: Any) -> Room:
    """Return a room that has ended."""
    return after(asked(rented(**config), release(3)))


def room_in(status: RoomStatus, **config: Any) -> Room:
    """Return a room that came into that state by decisions alone."""
    make = {
        RoomStatus.RENTED: rented,
        RoomStatus.ACTIVE: active,
        RoomStatus.IDLE: idle,
        RoomStatus.SLEEPING: sleeping,
        RoomStatus.RELEASING: releasing,
        RoomStatus.RELEASED: released,
        RoomStatus.FAILED: failed,
    }
    room = make[status](**config)
    assert room.status is status
    return room
