"""Core messages of the bus, over the process's one connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from abbotik_runtime.bus import Bus, BusUnavailable
from abbotik_runtime.hearing import hear

_FLUSH_S = 2


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

        def on_message(message: Msg) -> None:
            on_data(message.data)

        try:
            subscription = await hear(self._bus.client, subject, on_message)
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
