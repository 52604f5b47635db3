"""Core messages of the bus, over the process's one connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from abbotik_runtime.bus import Bus, BusUnavailable

_FLUSH_S = 2
# What may wait unread per subject; what is dropped beyond is read from the log.
_PENDING_MESSAGES = 4096
_PENDING_BYTES = 4 * 1024 * 1024


class BusSubscription:
    """One subscription of the connection."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    async def cancel(self) -> None:
        """Give it up; a closed connection has forgotten it already."""
        try:
            await self._subscription.unsubscribe()
        except nats.errors.Error:
            return


class BusSignals:
    """Implements `Signals`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def subscribe(self, subject: str, on_data: Callable[[bytes], None]) -> BusSubscription:
        """Have every message of the subject given to ``on_data``, over reconnects too."""

        async def on_message(message: Msg) -> None:
            on_data(message.data)

        try:
            subscription = await self._bus.client.subscribe(
                subject,
                cb=on_message,
                pending_msgs_limit=_PENDING_MESSAGES,
                pending_bytes_limit=_PENDING_BYTES,
            )
        except (BusUnavailable, nats.errors.Error) as error:
            raise ConnectionError(str(error)) from error
        return BusSubscription(subscription)

    async def flush(self) -> None:
        """Return when the server knows all subscriptions."""
        if not self._bus.connected:
            raise ConnectionError("NATS is not connected")
        try:
            await self._bus.barrier(_FLUSH_S)
        except nats.errors.Error as error:
            raise ConnectionError(str(error)) from error

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have ``callback`` awaited after each reconnect."""
        self._bus.on_reconnect(callback)
