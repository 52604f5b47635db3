"""Messages as the API shows them: contents whole, states and turns as they are now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from abbotik_contracts.large_content import whole
from abbotik_contracts.room_log import LogEntry, Record, StoredMessage, StoredState, StoredTurn
from abbotik_contracts.room_views import message_record, message_state
from abbotik_gateway.ports import Contents


@dataclass(frozen=True, slots=True)
class Found:
    """A stored message, and the time of its entry in ms."""

    message: StoredMessage
    at: int


def found_in(entries: Sequence[LogEntry], wanted: range) -> list[Found]:
    """Return the messages of the entries whose seqs are wanted, in their order."""
    return [
        Found(message, entry["at"])
        for entry in entries
        for message in entry.get("messages", ())
        if message["seq"] in wanted
    ]


async def shown(
    contents: Contents,
    tenant: str,
    room: str,
    found: Sequence[Found],
    state: StoredState,
    turns: dict[int, StoredTurn],
) -> list[Record]:
    """Return the messages as the API shows them, by the room's latest ``state``."""
    complete = await asyncio.gather(*(_whole(contents, tenant, one.message) for one in found))
    return [
        message_record(
            room,
            message,
            one.at,
            message_state(message, state),
            turns[message["seq"]]["id"] if message["seq"] in turns else None,
        )
        for one, message in zip(found, complete, strict=True)
    ]


async def _whole(contents: Contents, tenant: str, message: StoredMessage) -> StoredMessage:
    digest = message["blob"]
    if digest is None:
        return message
    data = await contents.get(tenant, digest)
    if data is None:
        raise LookupError(f"the content of message {message['id']} is lost")
    return {**message, "content": whole(message["content"], data)}
