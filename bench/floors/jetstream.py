"""Floor J: a JetStream publish until a pull consumer on another connection has it, 1 client."""

import argparse
import asyncio
import gc
import json
from time import perf_counter

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

from bench.samples import Finding, report

STREAM = "BENCH"
BODY = b'{"name":"room.message.v1","id":"0192","body":{"content":"' + b"x" * 300 + b'"}}'


async def provision(client: Client) -> None:
    """Make an empty work queue on disk and its durable consumer."""
    js = client.jetstream()
    await js.add_stream(
        StreamConfig(
            name=STREAM,
            subjects=["bench.floor"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
        )
    )
    await js.add_consumer(STREAM, ConsumerConfig(durable_name="floor", ack_wait=2))


async def exchange(publisher: Client, puller: Client, count: int) -> list[float]:
    """Publish `count` messages, each after the one before arrived; seconds until it did."""
    js, inbox = publisher.jetstream(), puller.new_inbox()
    arrived: asyncio.Queue[float] = asyncio.Queue()

    async def take(message: Msg) -> None:
        arrived.put_nowait(perf_counter())
        await message.ack()

    await puller.subscribe(inbox, cb=take)
    # One pull request for all of them: it is parked when each message comes, as a worker's is.
    pull = json.dumps({"batch": count, "expires": 300_000_000_000}).encode()
    await puller.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.floor", pull, inbox)
    await puller.flush()
    seconds = []
    for _ in range(count):
        started = perf_counter()
        await js.publish("bench.floor", BODY)
        seconds.append(await asyncio.wait_for(arrived.get(), 10) - started)
    return seconds


async def measure(url: str, count: int) -> None:
    """Measure on fresh objects, print, and remove them."""
    async with await nats.connect(url) as publisher, await nats.connect(url) as puller:
        await provision(publisher)
        try:
            seconds = await exchange(publisher, puller, count + 200)
        finally:
            await publisher.jetstream().delete_stream(STREAM)
    report(Finding.of("J", seconds[200:]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nats", required=True)
    parser.add_argument("--count", type=int, default=3000)
    arguments = parser.parse_args()
    gc.disable()  # pauses of the client are not the server's
    uvloop.run(measure(arguments.nats, arguments.count))
