"""Publishing: core messages that may be lost, stored ones that are confirmed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from nats.js.api import PubAck

from abbotik_contracts.subjects import HEADER_MESSAGE_ID
from abbotik_kernel.retry import Backoff
from abbotik_runtime.confirmations import SubjectFull, Unconfirmed
from abbotik_runtime.connection import GONE, REQUEST_S, BusUnavailable, Connection, Hook
from abbotik_runtime.settings import ServiceSettings

__all__ = ["Bus", "BusUnavailable", "PubAck", "SubjectFull"]

T = TypeVar("T")

_DEADLINE_S = 5.0
_AGAIN = Backoff(first=0.05, ceiling=0.5)


class Bus(Connection):
    """The process's connection, with the two ways to publish on it."""

    @classmethod
    async def open(
        cls, settings: ServiceSettings, service: str, *, on_reconnect: Hook | None = None
    ) -> Bus:
        """Make the bus and wait until it is connected."""
        bus = cls(settings, service)
        if on_reconnect is not None:
            bus.on_reconnect(on_reconnect)
        await bus.connect()
        return bus

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish without storing; nobody may be listening. BusUnavailable if disconnected."""
        client = self._client
        if client is None or not client.is_connected:
            raise BusUnavailable("NATS is not connected")
        try:
            await client.publish(subject, data, headers=dict(headers) if headers else None)
        except GONE as error:
            raise BusUnavailable(str(error)) from error
        self.metrics.published_core(subject)

    async def publish_stored(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str,
        headers: Mapping[str, str] | None = None,
        deadline_s: float = _DEADLINE_S,
    ) -> PubAck:
        """Publish to a stream and return its ack; `duplicate` says the id was stored before.

        Tries take at most 2 s each and keep ``message_id``; after ``deadline_s`` it raises
        BusUnavailable (stored or not, nobody knows). SubjectFull where the stream keeps
        one message per subject and has it. APIError where the server refuses for good.
        """
        sent = {**(headers or {}), HEADER_MESSAGE_ID: message_id}
        began = time.monotonic()
        deadline = began + deadline_s
        once = partial(self._try, subject, data, sent, deadline)
        ack = await self.insist(subject, once, deadline)
        self.metrics.published_stored(subject, time.monotonic() - began)
        return ack

    async def insist(self, subject: str, once: Callable[[], Awaitable[T]], deadline: float) -> T:
        """Repeat a publish while it raises Unconfirmed; BusUnavailable past the deadline.

        ``deadline`` is a time of the monotonic clock.
        """
        attempt = 0
        while True:
            try:
                return await once()
            except Unconfirmed as error:
                pause = _AGAIN.delay(attempt)
                attempt += 1
                if time.monotonic() + pause >= deadline:
                    raise BusUnavailable(f"{subject} not confirmed: {error}") from error
                self.metrics.publish_retries.add()
                await asyncio.sleep(pause)

    async def publish_once(
        self, subject: str, data: bytes, headers: dict[str, str], reply: str, deadline: float
    ) -> None:
        """Publish to a stream, once; Unconfirmed where it cannot.

        The stream's word comes to ``reply``; with an empty one it is not asked.
        """
        await self._standing(deadline)
        try:
            await self.client.publish(subject, data, reply, headers)
        except GONE as error:
            raise Unconfirmed(str(error)) from error

    async def _try(
        self, subject: str, data: bytes, headers: dict[str, str], deadline: float
    ) -> PubAck:
        await self._standing(deadline)
        if self._confirmations is None:
            raise Unconfirmed("NATS has not been reached yet")
        left = deadline - time.monotonic()
        try:
            return await self._confirmations.publish(
                subject, data, headers, min(REQUEST_S, max(0.0, left))
            )
        except GONE as error:
            raise Unconfirmed(str(error)) from error

    async def _standing(self, deadline: float) -> None:
        """Return when the connection stands; Unconfirmed where it does not in time."""
        if self.connected:
            return
        # nats-py would buffer each try and send them all after the reconnect.
        try:
            await asyncio.wait_for(self._up.wait(), max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise Unconfirmed("NATS is not connected") from None
