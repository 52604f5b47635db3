"""Readiness of what a service needs in JetStream, and another server where this one cannot say."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import ServiceUnavailableError

from abbotik_contracts.subjects import streams_of
from abbotik_runtime import provision
from abbotik_runtime.bus import Bus

_GREEN_S = 5.0
_ANSWER_S = 1.0

# How a server answers that has lost the others, and any of them while a leader is elected.
_CUT_OFF = (nats.errors.TimeoutError, ServiceUnavailableError, provision.Severed)


class StreamsCheck:
    """The check `streams`: everything is there, and JetStream answers for it.

    A server of a cluster that no longer reaches the others keeps its clients and answers their
    pings for as long as that lasts, and confirms nothing. So where JetStream is silent the others
    are asked too, and if one of them knows more the connection goes there.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._green_until = 0.0
        self._asking = False

    async def check(self) -> str | None:
        """Say what is missing; raises nats.errors.Error where JetStream does not answer."""
        if not self._bus.connected:
            return "NATS is not connected"
        if time.monotonic() < self._green_until:
            return None
        epoch = self._bus.epoch
        try:
            found = await provision.missing(self._bus.js, self._bus.service)
        except _CUT_OFF:
            better = await self._better_server()
            if better is not None and epoch == self._bus.epoch:
                await self._bus.go_to(better)
            raise
        if not found:
            self._green_until = time.monotonic() + _GREEN_S
        return "; ".join(found) or None

    async def _better_server(self) -> str | None:
        """Return one where streams answer that are silent here, all asked at one moment."""
        # Nobody waits for a check that takes longer than two seconds, but it runs on.
        if self._asking:
            return None
        self._asking = True
        try:
            url = self._bus.client.connected_url
            others = [
                each for each in self._bus.servers if url and urlsplit(each).netloc != url.netloc
            ]
            async with AsyncExitStack() as looks:
                clients = await asyncio.gather(*(self._look(looks, server) for server in others))
                here, *there = await asyncio.gather(*map(self._led, (self._bus.client, *clients)))
        finally:
            self._asking = False
        more = {server: led for server, led in zip(others, there, strict=True) if led - here}
        return max(more, key=lambda server: len(more[server]), default=None)

    async def _look(self, looks: AsyncExitStack, server: str) -> Client | None:
        """Return a connection to a server for a moment, None where it takes none."""
        try:
            return await looks.enter_async_context(
                provision.client_of([server], f"abbotik-{self._bus.service}-look")
            )
        except (OSError, nats.errors.Error):
            return None

    async def _led(self, client: Client | None) -> set[str]:
        """Return those of the streams whose leader answers, with a majority behind it."""
        if client is None:
            return set()
        js, names = client.jetstream(timeout=_ANSWER_S), streams_of(self._bus.service)
        led = await asyncio.gather(*(_is_led(js, name) for name in names))
        return {name for name, is_led in zip(names, led, strict=True) if is_led}


async def _is_led(js: JetStreamContext, stream: str) -> bool:
    try:
        info = await js.stream_info(stream)
    except nats.errors.Error:
        return False
    return not provision.is_severed(info.cluster)
