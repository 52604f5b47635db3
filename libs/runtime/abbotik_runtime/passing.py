"""Passing a delivered message on to another process, which settles it as if it were its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import count

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from abbotik_contracts.subjects import HEADER_ACK, HEADER_SUBJECT
from abbotik_runtime.bus import Bus
from abbotik_runtime.connection import GONE
from abbotik_runtime.hearing import hear
from abbotik_runtime.inbox import drain

# So many may be on their way at a moment, at 64 KiB at most; of older ones the stream takes care.
_MOST = 256


class Passing:
    """One process's end of it: `on` passes a message on, ``take`` is given what comes here.

    A message comes back to ``take`` of its sender where nobody listens. What is lost on its way,
    or together with who took it, the stream delivers again after `ack_wait`.
    """

    def __init__(self, bus: Bus, subject: str, take: Callable[[Msg], None]) -> None:
        self._bus = bus
        self._subject = subject
        self._take = take
        self._inbox = ""
        self._tokens = count()
        self._under_way: OrderedDict[str, Msg] = OrderedDict()
        self._ear: Subscription | None = None

    async def start(self) -> None:
        """Listen, over reconnects too; the bus must have been connected."""
        self._inbox = self._bus.client.new_inbox()
        await hear(self._bus.client, f"{self._inbox}.*", self._on_nobody)
        self._ear = await hear(self._bus.client, self._subject, self._on_passed)

    async def stop(self) -> None:
        """Listen no more: what is passed to here from now on goes back to who sent it."""
        if self._ear is not None:
            await drain(self._ear)

    async def on(self, message: Msg, subject: str) -> bool:
        """Pass a message on to whoever listens there; False where the bus is away."""
        if not self._bus.connected:
            # nats-py would keep it for the next connection, and the stream deliver it meanwhile.
            return False
        token = str(next(self._tokens))
        self._under_way[token] = message
        if len(self._under_way) > _MOST:
            self._under_way.popitem(last=False)
        headers = {
            **(message.headers or {}),
            HEADER_SUBJECT: message.subject,
            HEADER_ACK: message.reply,
        }
        try:
            await self._bus.client.publish(
                subject, message.data, reply=f"{self._inbox}.{token}", headers=headers
            )
        except GONE:
            self._under_way.pop(token, None)
            return False
        self._bus.metrics.published_core(subject)
        return True

    def _on_passed(self, passed: Msg) -> None:
        headers = passed.headers or {}
        subject, ack = headers.pop(HEADER_SUBJECT), headers.pop(HEADER_ACK)
        self._take(
            Msg(self._bus.client, subject=subject, reply=ack, data=passed.data, headers=headers)
        )

    def _on_nobody(self, answer: Msg) -> None:
        # The server's word that the subject has no subscriber; nobody else answers here.
        message = self._under_way.pop(answer.subject.rpartition(".")[2], None)
        if message is not None:
            self._take(message)
