"""Settling against a real server: done, again, dead letter, confirmed, in progress."""

from __future__ import annotations

import asyncio
import uuid

from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg

from abbotik_contracts.subjects import CONSUMERS
from abbotik_kernel.outcome import Done, Reject, Retry
from abbotik_runtime.acks import InProgress, confirm, settle
from abbotik_runtime.bus import Bus
from abbotik_runtime.provision import provision_streams
from abbotik_runtime.pull import PullLoop
from tests.eventually import eventually

COMMANDS = next(consumer for consumer in CONSUMERS if consumer.name == "room-worker")
SUBJECT = "cmd.room.tenant.room.message"


async def _messages(bus: Bus, stream: str) -> int:
    return (await bus.js.stream_info(stream)).state.messages


async def _dead_letter(bus: Bus) -> RawStreamMsg:
    await eventually(lambda: _messages(bus, "DLQ"))
    return await bus.js.get_last_msg("DLQ", "dlq.room-worker")


async def test_done_ends_the_message(streams: Bus) -> None:
    """An acknowledged message leaves the work queue."""

    async def handle(message: Msg) -> None:
        await settle(message, Done(), service="room-worker", bus=streams)
        handled.set()

    handled = asyncio.Event()
    loop = PullLoop(streams, COMMANDS, handle, capacity=1)
    loop.start()
    await streams.publish_stored(SUBJECT, b"x", message_id=str(uuid.uuid4()))
    await asyncio.wait_for(handled.wait(), 5)
    await loop.stop()
    assert await _messages(streams, "COMMANDS") == 0


async def test_a_delay_that_the_server_cannot_count_is_no_busy_loop(streams: Bus) -> None:
    """It would take one beyond 64 bits of nanoseconds for none, and deliver again at once."""
    came: list[bytes] = []

    async def handle(message: Msg) -> None:
        came.append(message.data)
        await settle(message, Retry(1e12), service="room-worker", bus=streams)

    loop = PullLoop(streams, COMMANDS, handle, capacity=1)
    loop.start()
    for data in (b"first", b"second", b"third"):
        await streams.publish_stored(SUBJECT, data, message_id=str(uuid.uuid4()))
        await eventually(lambda data=data: data in came)  # type: ignore[misc]  # a default binds it
        # Behind what was answered: whatever the server delivers at once has arrived by then.
        await streams.barrier()
    await loop.stop()
    assert came == [b"first", b"second", b"third"]


async def test_a_dead_letter_holds_the_cause_and_the_original(streams: Bus) -> None:
    """A rejected message is kept under `dlq.<service>` as it was, with code and cause, and ends."""

    async def handle(message: Msg) -> None:
        await settle(
            message, Reject("UNDECODABLE", "not JSON\nat all"), service="room-worker", bus=streams
        )

    loop = PullLoop(streams, COMMANDS, handle, capacity=1)
    loop.start()
    await streams.publish_stored(
        SUBJECT, b"{broken", message_id=str(uuid.uuid4()), headers={"x-request-id": "q"}
    )
    letter = await _dead_letter(streams)
    await loop.stop()
    assert letter.data == b"{broken"
    assert letter.headers is not None
    assert letter.headers["Abbotik-Subject"] == SUBJECT
    assert letter.headers["Abbotik-Code"] == "UNDECODABLE"
    assert letter.headers["Abbotik-Cause"].startswith("not JSON")
    assert letter.headers["x-request-id"] == "q"
    await eventually(lambda: _is_empty(streams, "COMMANDS"))


async def _is_empty(bus: Bus, stream: str) -> bool:
    return await _messages(bus, stream) == 0


async def test_a_dead_letter_of_a_full_message_fits(streams: Bus) -> None:
    """A message as large as NATS takes is cut for the DLQ instead of breaking the connection."""

    async def handle(message: Msg) -> None:
        await settle(message, Reject("TOO_ODD", "c" * 5000), service="room-worker", bus=streams)

    loop = PullLoop(streams, COMMANDS, handle, capacity=1)
    loop.start()
    size = streams.client.max_payload - 200
    await streams.publish_stored(SUBJECT, b"x" * size, message_id=str(uuid.uuid4()))
    letter = await _dead_letter(streams)
    await loop.stop()
    assert letter.headers is not None
    assert letter.headers["Abbotik-Truncated"] == str(size)
    assert letter.data is not None
    assert size - 10_000 < len(letter.data) < size
    assert streams.epoch == 0


async def test_a_rejected_message_waits_for_the_dead_letter_stream(streams: Bus) -> None:
    """While the DLQ cannot take it, the message is neither lost nor ended."""
    settled = asyncio.Event()

    async def handle(message: Msg) -> None:
        await settle(message, Reject("X", "y"), service="room-worker", bus=streams)
        settled.set()

    await streams.js.delete_stream("DLQ")
    loop = PullLoop(streams, COMMANDS, handle, capacity=1)
    loop.start()
    try:
        await streams.publish_stored(SUBJECT, b"x", message_id=str(uuid.uuid4()))
        await asyncio.wait_for(settled.wait(), 8)
        assert await _messages(streams, "COMMANDS") == 1
    finally:
        await loop.stop()
        await provision_streams(streams.js)


async def test_confirm_returns_when_the_server_has_it(streams: Bus) -> None:
    """After a confirmed acknowledgement the message is gone, without waiting any further."""
    left: list[int] = []

    async def handle(message: Msg) -> None:
        assert await confirm(message, bus=streams)
        left.append(await _messages(streams, "COMMANDS"))

    loop = PullLoop(streams, COMMANDS, handle, capacity=1)
    loop.start()
    await streams.publish_stored(SUBJECT, b"x", message_id=str(uuid.uuid4()))
    await eventually(lambda: left)
    await loop.stop()
    assert left == [0]


async def test_a_held_message_is_not_delivered_again(streams: Bus) -> None:
    """While a message is held its `ack_wait` never ends; one that is not held comes again."""
    deliveries: dict[bytes, int] = {b"held": 0, b"left": 0}
    again = asyncio.Event()
    marks = InProgress(streams)
    marks.start()

    async def handle(message: Msg) -> None:
        deliveries[message.data] += 1
        if message.data == b"held":
            with marks.holding(message):
                await again.wait()
        elif deliveries[b"left"] < 2:
            return
        else:
            again.set()
        await settle(message, Done(), service="room-worker", bus=streams)

    loop = PullLoop(streams, COMMANDS, handle, capacity=10)
    loop.start()
    await streams.publish_stored(SUBJECT, b"held", message_id=str(uuid.uuid4()))
    await streams.publish_stored(SUBJECT, b"left", message_id=str(uuid.uuid4()))
    await asyncio.wait_for(again.wait(), 10)
    await loop.stop()
    assert await loop.drained(5)
    await marks.stop()
    assert deliveries == {b"held": 1, b"left": 2}
