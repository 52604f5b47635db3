"""The one step that makes streams, consumers and indexes; services only look if they are there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import nats.errors
import pymongo
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ClusterInfo, StreamConfig
from nats.js.errors import APIError, NotFoundError
from pymongo.errors import ConnectionFailure, OperationFailure

from abbotik_contracts import subjects
from abbotik_contracts.subjects import Consumer, Stream
from abbotik_runtime import mongo
from abbotik_runtime.declared import (
    Drift,
    consumer_changes,
    consumer_config,
    consumer_drift,
    stream_changes,
    stream_config,
    stream_drift,
)
from abbotik_runtime.settings import ServiceSettings

__all__ = [
    "Drift",
    "Severed",
    "Unreachable",
    "client_of",
    "is_severed",
    "missing",
    "provision",
    "provision_streams",
]

_WAIT_S = 30.0
_PAUSE_S = 0.5
_REQUEST_S = 5.0
_INDEX_S = 600.0
# A replica answers its leader each second.
_SILENT_NS = 3_000_000_000

# What an index that exists with other keys or options is refused with.
_INDEX_CONFLICTS = (85, 86)

# Answers of servers that are starting or electing a leader.
_NOT_YET = (OSError, TimeoutError, nats.errors.Error, ConnectionFailure)


class Severed(nats.errors.Error):
    """The leader of a stream does not hear from the majority any more, and can confirm nothing."""


class Unreachable(Exception):  # noqa: N818 - a finding
    """A server that did not answer in the time it was given."""


async def provision(
    nats_url: str, mongo_url: str, database: str, *, replicas: int = 1, wait_s: float = _WAIT_S
) -> None:
    """Make what is declared and missing; running it again changes nothing.

    Each stream gets ``replicas``, and keeps more where it has them. Waits up to ``wait_s`` for each
    server, then raises Unreachable. Drift where something is there with a member that may not be
    changed silently; nothing is changed on its owner then.
    """
    settings = ServiceSettings(nats_url=nats_url, mongo_url=mongo_url, mongo_database=database)
    await _patiently("NATS", lambda: _provision_bus(settings, replicas), wait_s)
    await _patiently("MongoDB", lambda: _provision_store(settings), wait_s)


async def provision_streams(js: JetStreamContext, replicas: int = 1) -> None:
    """Make the declared streams and consumers on a server that answers."""
    # Streams that are made twice come last. Where its last stream is deleted, NATS removes the
    # folder of all streams a moment later, and with it one that is being made.
    for stream in sorted(subjects.STREAMS, key=lambda each: each.flushed_later):
        await _make_stream(js, stream_config(stream, replicas))
    for consumer in subjects.CONSUMERS:
        await _make_consumer(js, consumer)


async def missing(js: JetStreamContext, service: str) -> list[str]:
    """Say what a service needs and does not find: a sentence each, none when it may be ready.

    Raises nats.errors.Error when the server does not answer.
    """
    by_name = {stream.name: stream for stream in subjects.STREAMS}
    streams = [_look_at_stream(js, by_name[name]) for name in subjects.streams_of(service)]
    consumers = [_look_at_consumer(js, each) for each in subjects.consumers_of(service)]
    found = await asyncio.gather(*streams, *consumers)
    return [sentence for sentences in found for sentence in sentences]


async def _patiently(name: str, step: Callable[[], Awaitable[None]], wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return await step()
        except _NOT_YET as error:
            if isinstance(error, APIError) and error.code not in (None, 503):
                raise
            if time.monotonic() >= deadline:
                raise Unreachable(
                    f"{name} does not answer ({type(error).__name__}): start it, or correct its URL"
                ) from error
        await asyncio.sleep(_PAUSE_S)


async def _provision_bus(settings: ServiceSettings, replicas: int) -> None:
    async with client_of(settings.nats_servers, "abbotik-provision") as client:
        await provision_streams(client.jetstream(timeout=_REQUEST_S), replicas)


@asynccontextmanager
async def client_of(servers: list[str], name: str) -> AsyncIterator[Client]:
    """Yield a connection to one of the servers, for a moment; an error where none takes it."""
    client = Client()
    try:
        await client.connect(
            servers,
            name=name,
            allow_reconnect=False,
            connect_timeout=2,
            # Otherwise a server that refuses connections is tried for two minutes.
            max_reconnect_attempts=1,
            reconnect_time_wait=0.1,  # type: ignore[arg-type] # it is only slept
            error_cb=_unheard,
        )
        yield client
    finally:
        # Also where it failed: nats-py keeps the socket to a server that accepts and says nothing.
        await client.close()


async def _unheard(_error: Exception) -> None:
    """Every error of the connection also reaches the call that waits for it."""


async def _provision_store(settings: ServiceSettings) -> None:
    client = mongo.connect(settings, "provision")
    try:
        await mongo.ping(client)
        # An index over a large collection takes longer than a call may; for a server that is away
        # this limit would count too, hence the ping.
        with pymongo.timeout(_INDEX_S):
            await mongo.ensure_indexes(mongo.database(client, settings))
    except OperationFailure as error:
        if error.code in _INDEX_CONFLICTS:
            raise Drift("an index", "keys or options", str(error), "as declared") from error
        raise
    finally:
        await client.close()


async def _make_stream(js: JetStreamContext, wanted: StreamConfig) -> None:
    try:
        found = (await js.stream_info(str(wanted.name))).config
    except NotFoundError:
        await _add_stream(js, wanted)
        return
    for drift in stream_drift(found, wanted):
        raise drift
    if changes := stream_changes(found, wanted):
        await js.update_stream(found.evolve(**changes))


async def _add_stream(js: JetStreamContext, wanted: StreamConfig) -> None:
    await js.add_stream(wanted)
    if wanted.persist_mode is not None:
        # Of a stream that is flushed later a power cut may leave remains, which the server adopts,
        # like a definition that it cannot read at its next start. Nobody was told of what is in it.
        await js.delete_stream(str(wanted.name))
        await js.add_stream(wanted)


async def _add_consumer(js: JetStreamContext, consumer: Consumer) -> None:
    wanted = consumer_config(consumer)
    await js.add_consumer(consumer.stream, wanted)
    if any(each.name == consumer.stream and each.flushed_later for each in subjects.STREAMS):
        # The same of a consumer: its old place may be one that the stream has not reached, and
        # nothing would be delivered until then.
        await js.delete_consumer(consumer.stream, consumer.name)
        await js.add_consumer(consumer.stream, wanted)


async def _make_consumer(js: JetStreamContext, consumer: Consumer) -> None:
    wanted = consumer_config(consumer)
    try:
        found = (await js.consumer_info(consumer.stream, consumer.name)).config
    except NotFoundError:
        await _add_consumer(js, consumer)
        return
    for drift in consumer_drift(found, wanted):
        raise drift
    if changes := consumer_changes(found, wanted):
        await js.add_consumer(consumer.stream, found.evolve(**changes))


async def _look_at_stream(js: JetStreamContext, stream: Stream) -> list[str]:
    wanted = stream_config(stream)
    try:
        info = await js.stream_info(stream.name)
    except NotFoundError:
        return [f"stream {stream.name} is missing: run `abbotik provision`"]
    if is_severed(info.cluster):
        raise Severed(f"the leader of {stream.name} does not hear from the majority")
    found = info.config
    return [str(drift) for drift in stream_drift(found, wanted)] or [
        f"stream {stream.name}: {member} is outdated: run `abbotik provision`"
        for member in stream_changes(found, wanted)
    ]


def is_severed(cluster: ClusterInfo | None) -> bool:
    """Say whether a leader, by what it says of its replicas, has lost the majority.

    It goes on to lead, for 10 to 20 s, while the others have elected another one.
    """
    replicas = (cluster.replicas if cluster else None) or []
    silent = sum((replica.active or 0) > _SILENT_NS for replica in replicas)
    return silent > len(replicas) // 2


async def _look_at_consumer(js: JetStreamContext, consumer: Consumer) -> list[str]:
    wanted = consumer_config(consumer)
    try:
        found = (await js.consumer_info(consumer.stream, consumer.name)).config
    except NotFoundError:
        return [f"consumer {consumer.name} is missing: run `abbotik provision`"]
    return [str(drift) for drift in consumer_drift(found, wanted)] or [
        f"consumer {consumer.name}: {member} is outdated: run `abbotik provision`"
        for member in consumer_changes(found, wanted)
    ]
