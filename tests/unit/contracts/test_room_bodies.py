"""Bodies and commands of rooms: what passes the border, and what does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from abbotik_contracts.room_bodies import (
    MAX_CONTENT_BYTES,
    InterruptBody,
    MessageBody,
    ReleaseBody,
    RentBody,
    TextBlock,
    WakeBody,
    content_text,
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
    decode,
    encode,
    verb,
)

ID = "0198a1b2-0000-7000-8000-000000000001"
ROOM = "0198a1b2-0000-7000-8000-000000000002"
_AT: dict[str, Any] = {"id": ID, "tenant": "acme", "room": ROOM, "caller": "ada"}

COMMANDS: list[RoomCommand] = [
    RentRoom(**_AT, body=RentBody(purpose="ünï \u2028", metadata={"n": 1.5, "deep": [None]})),
    PatchRoom(**_AT, body=PatchChange(patch={"purpose": None, "metadata": {"a": 1}}, if_match=3)),
    PostMessage(**_AT, body=MessageBody(content=[TextBlock(type="text", text="a")], actor_key="x")),
    PostMessage(**_AT, body=MessageBody(content="hello", delivery="reject"), request_id="r-1"),
    WakeRoom(**_AT, body=WakeBody(reason="because", content="go on")),
    InterruptRoom(**_AT, body=InterruptBody(turn_id=ID, mode="soft", deadline_ms=0)),
    ReleaseRoom(**_AT, body=ReleaseBody(result={"a": [1, "two", None]}, reason="done")),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=verb)
def test_command_comes_back_from_the_bus_as_it_was(command: RoomCommand) -> None:
    """Encoding and decoding lose and change nothing, nulls of a patch included."""
    assert decode(encode(command)) == command


@pytest.mark.parametrize("command", COMMANDS, ids=verb)
def test_verb_is_the_middle_of_the_name(command: RoomCommand) -> None:
    """The subject's last token follows from the versioned name."""
    assert command.name == f"room.{verb(command)}.v1"


def _wire(**changes: Any) -> bytes:
    command = {"name": "room.message.v1", **_AT, "body": {"content": "hello"}}
    return json.dumps({**command, **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b"\xff\xfe",
        _wire(name="room.message.v2"),
        _wire(name="room.rent.v1"),
        _wire(id="not-a-uuid"),
        _wire(id=ID.upper()),
        _wire(id=ID + "\n"),
        _wire(room="../x"),
        _wire(tenant="a.b"),
        _wire(tenant="acme\n"),
        _wire(tenant="*"),
        _wire(caller=None),
        _wire(extra=1),
        _wire(body={"content": "hello", "extra": 1}),
        _wire(body={}),
    ],
)
def test_what_is_no_command_is_not_decoded(data: bytes) -> None:
    """Anything but a known, whole and exact command raises; nothing is guessed."""
    with pytest.raises(ValidationError):
        decode(data)


@pytest.mark.parametrize(
    "body",
    [
        {"content": ""},
        {"content": " \n\t "},
        {"content": 7},
        {"content": []},
        {"content": [{"type": "text", "text": "  "}]},
        {"content": [{"type": "image", "text": "a"}]},
        {"content": [{"type": "text", "text": "a", "more": 1}]},
        {"content": [{"type": "text", "text": "a"}] * 257},
        {"content": "a", "kind": "output"},
        {"content": "a", "delivery": "later"},
        {"content": "a", "actor_key": ""},
        {"content": "a", "metadata": [1]},
        {"content": "x" * (MAX_CONTENT_BYTES + 1)},
        {"content": "é" * (MAX_CONTENT_BYTES // 2 + 1)},
    ],
)
def test_wrong_message_is_refused(body: dict[str, Any]) -> None:
    """Blank, too large (in bytes), or of another shape: no message."""
    with pytest.raises(ValidationError):
        MessageBody.model_validate(body)


def test_largest_message_passes() -> None:
    """The limit itself is allowed, counted in bytes."""
    MessageBody(content="é" * (MAX_CONTENT_BYTES // 2))


def test_a_roster_is_given_once() -> None:
    """`actors` and its other name together are refused."""
    with pytest.raises(ValidationError, match="not as both"):
        RentBody.model_validate({"actors": [{}], "agents": [{}]})


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_blocks_are_joined_by_newlines(texts: list[str]) -> None:
    """The text of blocks is their lines; that of a string is itself."""
    blocks = [TextBlock(type="text", text=text) for text in texts]
    assert content_text(blocks) == "\n".join(texts)
    assert content_text(texts[0]) == texts[0]
