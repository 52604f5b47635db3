"""Consuming a work queue: FastStream's pull subscriber, and our pull loop, message for message.

`python -m bench.decisions.consume` starts a NATS server, stores messages, and lets each consumer
acknowledge all of them. The handlers do nothing else, so what is left is the cost of consuming.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from faststream import AckPolicy
from faststream.nats import JStream, NatsMessage, PullSub
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig

from abbotik_cli import binaries, nats_server
from abbotik_contracts.subjects import Consumer
from abbotik_kernel.outcome import Done
from abbotik_runtime.acks import settle
from abbotik_runtime.bus import Bus
from abbotik_runtime.pull import PullLoop
from abbotik_runtime.settings import ServiceSettings
from bench.children import free_port
from bench.servers import serving

MESSAGES = 5_000
AT_ONCE = 64
BODY = b"x" * 400
SUBJECT = "bench.consume"
STREAM = "CONSUME"

Stop = Callable[[], Awaitable[None]]
Consume = Callable[[Bus, Callable[[], None]], Awaitable[Stop]]


async def by_faststream(bus: Bus, seen: Callable[[], None]) -> Stop:
    """Consume as FastStream declares it: one message a request, 64 handlers at once."""

    @bus.broker.subscriber(
        SUBJECT,
        durable="faststream",
        stream=JStream(STREAM, declare=False),
        pull_sub=PullSub(batch_size=AT_ONCE, timeout=5.0),
        ack_policy=AckPolicy.MANUAL,
        max_workers=AT_ONCE,
        no_reply=True,
    )
    async def handle(message: NatsMessage) -> None:
        await message.ack()
        seen()

    await bus.start_subscribers()
    return bus.stop_subscribers


async def by_pull_loop(bus: Bus, seen: Callable[[], None]) -> Stop:
    """Consume as the room worker does."""

    async def handle(message: Msg) -> None:
        await settle(message, Done(), service="bench", bus=bus)
        seen()

    loop = PullLoop(bus, Consumer(STREAM, "loop", SUBJECT, 4096), handle, capacity=AT_ONCE)
    loop.start()
    return loop.stop


async def measure(url: str, durable: str, consume: Consume) -> tuple[float, float]:
    """Return messages per second, and microseconds of this process's CPU per message."""
    settings = ServiceSettings(nats_url=url)
    bus = await Bus.open(settings, "bench")
    await bus.js.add_stream(
        StreamConfig(name=STREAM, subjects=[SUBJECT], retention=RetentionPolicy.WORK_QUEUE)
    )
    await bus.js.add_consumer(
        STREAM, ConsumerConfig(durable_name=durable, ack_wait=30, max_ack_pending=4096)
    )
    for _ in range(0, MESSAGES, AT_ONCE):
        await asyncio.gather(*(bus.js.publish(SUBJECT, BODY) for _ in range(AT_ONCE)))
    stored = (await bus.js.stream_info(STREAM)).state.messages
    left, done = stored, asyncio.Event()

    def seen() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()

    began, cpu = time.perf_counter(), time.process_time()
    stop = await consume(bus, seen)
    async with asyncio.timeout(120):
        await done.wait()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await stop()
    await bus.close()
    await _forget(url)
    return stored / took, cpu / stored * 1e6


async def _forget(url: str) -> None:
    bus = await Bus.open(ServiceSettings(nats_url=url), "bench")
    await bus.js.delete_stream(STREAM)
    await bus.close()


def main() -> None:
    """Measure both, twice, the second time in the other order."""
    # FastStream says two lines a message, which would be most of what is measured.
    logging.disable(logging.INFO)
    ways: list[tuple[str, Consume]] = [("faststream", by_faststream), ("loop", by_pull_loop)]
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder), free_port()
        program = nats_server.program(binaries.nats_server(), port, home / "nats")
        with serving(program, home / "nats.log"):
            for name, consume in [*ways, *reversed(ways)]:
                rate, cpu = uvloop.run(measure(f"nats://127.0.0.1:{port}", name, consume))
                print(f"{name:10s} {rate:7.0f} messages/s, {cpu:5.0f} µs CPU a message")


if __name__ == "__main__":
    main()
