"""Commands on a room: what the gateway publishes and a room worker decides.

Names are versioned and frozen; a command grows only by optional members. Every id is minted by
the gateway, so that publishing again is the same command.
"""

from __future__ import annotations

from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, Field, JsonValue, TypeAdapter

from abbotik_contracts.frozen import Frozen
from abbotik_contracts.room_bodies import (
    InterruptBody,
    MessageBody,
    ReleaseBody,
    RentBody,
    Uuid,
    WakeBody,
)
from abbotik_contracts.subjects import TOKEN

Tenant = Annotated[str, Field(pattern=TOKEN.pattern)]


class PatchChange(Frozen):
    """PATCH /llm/room/:id: the merge patch, and the version that `If-Match` asked for."""

    patch: dict[str, JsonValue]
    if_match: int | None = None


class _RoomCommand(Frozen):
    """What every command says. ``id`` is also the id of the message that it may make."""

    id: Uuid
    tenant: Tenant
    room: Uuid
    caller: str
    request_id: str = ""


class RentRoom(_RoomCommand):
    """Rent the room whose id is ``room``."""

    name: Literal["room.rent.v1"] = "room.rent.v1"
    body: RentBody


class PatchRoom(_RoomCommand):
    """Change the configuration."""

    name: Literal["room.patch.v1"] = "room.patch.v1"
    body: PatchChange


class PostMessage(_RoomCommand):
    """Put a message into the queue."""

    name: Literal["room.message.v1"] = "room.message.v1"
    body: MessageBody


class WakeRoom(_RoomCommand):
    """Bring a sleeping or failed room back."""

    name: Literal["room.wake.v1"] = "room.wake.v1"
    body: WakeBody


class InterruptRoom(_RoomCommand):
    """Stop the running turn."""

    name: Literal["room.interrupt.v1"] = "room.interrupt.v1"
    body: InterruptBody


class ReleaseRoom(_RoomCommand):
    """End the room."""

    name: Literal["room.release.v1"] = "room.release.v1"
    body: ReleaseBody


RoomCommand = RentRoom | PatchRoom | PostMessage | WakeRoom | InterruptRoom | ReleaseRoom
_ANY: TypeAdapter[RoomCommand] = TypeAdapter(Annotated[RoomCommand, Field(discriminator="name")])


def verb(command: RoomCommand) -> str:
    """Return the last token of the command's subject: `room.message.v1` gives `message`."""
    return command.name.split(".")[1]


def encode(command: RoomCommand) -> bytes:
    """Write a command for the bus."""
    # The members as they are, in a fifth of the time of pydantic's own writer.
    return orjson.dumps(command, default=_members)


def _members(model: BaseModel) -> dict[str, object]:
    return model.__dict__


def decode(data: bytes) -> RoomCommand:
    """Read a command from the bus; raise pydantic's ValidationError where it is none."""
    return _ANY.validate_json(data)
