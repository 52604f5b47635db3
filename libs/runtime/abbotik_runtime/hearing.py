"""Subscribing with a function that never waits, and is called as each message is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from abbotik_runtime import logs

_log = logs.get("bus")


async def hear(client: Client, subject: str, on_message: Callable[[Msg], None]) -> Subscription:
    """Subscribe over reconnects too. Whatever ``on_message`` raises is logged."""
    return await client.subscribe(subject, future=cast("Any", _Ear(on_message)))


class _Ear:
    """Has the two methods by which nats-py gives a message to a future, as often as one comes.

    A callback costs a queue, and a task that is woken for each message.
    """

    def __init__(self, on_message: Callable[[Msg], None]) -> None:
        self._on_message = on_message

    def cancelled(self) -> bool:
        """Say that it wants messages; until its subscription ends, it always does."""
        return False

    def set_result(self, message: Msg) -> None:
        """Take a message."""
        try:
            self._on_message(message)
        except Exception:  # noqa: BLE001 - nats-py reads no further after an error in here
            _log.exception("hearing_failed", subject=message.subject)
