"""A room's reminder at a real server: it comes when it is time, and only the newest one does."""

from __future__ import annotations

import asyncio
import time

from nats.aio.msg import Msg

from abbotik_contracts.subjects import consumer
from abbotik_kernel.outcome import Done
from abbotik_room_worker.adapters.signals import NatsSignals
from abbotik_runtime.acks import settle
from abbotik_runtime.bus import Bus
from abbotik_runtime.pull import PullLoop

KEY = ("tenant", "room")


async def test_time_that_the_bus_cannot_count_has_no_reminder(streams: Bus) -> None:
    """The server would take the year 2400 for long ago, and remind at once."""
    await NatsSignals(streams).remind(KEY, 13_569_465_600_000)
    await streams.client.flush()
    kept = await streams.js.stream_info("SCHEDULES")
    assert kept.state.messages == 0


async def test_newest_reminder_comes_in_time(streams: Bus) -> None:
    """A later one replaces it; what comes is the time, on the room's subject, not before it."""
    came: asyncio.Queue[tuple[str, bytes, float]] = asyncio.Queue()

    async def handle(message: Msg) -> None:
        came.put_nowait((message.subject, message.data, time.time()))
        await settle(message, Done(), service="room-worker", bus=streams)

    pull = PullLoop(streams, consumer("due"), handle, capacity=10)
    pull.start()
    at = int(time.time() * 1000) + 1_500
    signals = NatsSignals(streams)
    await signals.remind(KEY, at - 500)
    await signals.remind(KEY, at)
    subject, data, when = await asyncio.wait_for(came.get(), 10)
    assert (subject, int(data)) == ("due.tenant.room", at)
    assert when * 1000 >= at
    await pull.stop()
    assert await pull.drained(5)
    assert came.empty()
    kept = await streams.js.stream_info("SCHEDULES")
    assert kept.state.messages == 0
