"""What waits on the bus of a stack, and putting it there again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from abbotik_contracts.subjects import HEADER_MESSAGE_ID

Stored = tuple[str, bytes, dict[str, str]]


async def waiting(nats_url: str, stream: str) -> int:
    """Return how many messages a stream keeps."""
    async with _stream(nats_url) as js:
        return (await js.stream_info(stream)).state.messages


async def newest(nats_url: str, stream: str, subject: str) -> Stored:
    """Return the newest message on a subject that a stream keeps: subject, data and headers."""
    async with _stream(nats_url) as js:
        found = await js.get_last_msg(stream, subject)
    assert found.subject is not None
    return found.subject, found.data or b"", dict(found.headers or {})


@asynccontextmanager
async def overheard(nats_url: str, subject: str) -> AsyncIterator[list[Stored]]:
    """Yield what is published on a subject from now on, whatever a stream does with it."""
    heard: list[Stored] = []

    async def note(message: Msg) -> None:
        heard.append((message.subject, message.data, dict(message.headers or {})))

    client = await nats.connect(nats_url.split(","))
    try:
        await client.subscribe(subject, cb=note)
        await client.flush()
        yield heard
    finally:
        await client.close()


async def publish(nats_url: str, subject: str, data: bytes, headers: dict[str, str]) -> None:
    """Have a stream keep a message once more, which it would take for the first one by its id."""
    sent = {name: value for name, value in headers.items() if name != HEADER_MESSAGE_ID}
    async with _stream(nats_url) as js:
        await js.publish(subject, data, headers=sent)


@asynccontextmanager
async def _stream(nats_url: str) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_url.split(","))
    try:
        yield client.jetstream()
    finally:
        await client.close()
