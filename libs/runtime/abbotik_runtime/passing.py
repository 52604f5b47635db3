"""Passing a delivered message on to another process, which settles it as if it were its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from abbotik_contracts.subjects import HEADER_ACK, HEADER_SUBJECT
from abbotik_runtime.bus import Bus, BusUnavailable
from abbotik_runtime.connection import GONE
from abbotik_runtime.hearing import hear
from abbotik_runtime.inbox import drain

# What is larger stays: with the headers that are added it might pass what the server takes, which
# ends the connection of whoever sends it.
_MOST_BYTES = 64 * 1024
# So many may be on their way at a moment, as a pull asks for no more at once.
_MOST = 256
# Whoever takes a message says so at once; after so many seconds it is handled here.
_PATIENCE_S = 0.5


class Passing:
    """One process's end of it: `send` passes a message on, ``take`` is given what comes here.

    A message comes back to ``take`` of its sender where the server knows of nobody who listens, or
    nobody says in time that it was taken; it may then be handled twice, as any message may. What is
    lost together with who took it the stream delivers again after `ack_wait`. Nothing is sent
    before this process has heard itself, over each connection: a server that forbids the subject
    does not tell who publishes.
    """

    def __init__(self, bus: Bus, subject: str, take: Callable[[Msg], None]) -> None:
        self._bus = bus
        self._subject = subject
        self._take = take
        # Asking for the loop is a system call each time.
        self._loop = asyncio.get_running_loop()
        self._inbox = ""
        self._tokens = count()
        # By their tokens, with the loop's time at which they were sent; the oldest first.
        self._under_way: dict[str, tuple[float, Msg]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._receipts: set[asyncio.Task[None]] = set()
        self._ear: Subscription | None = None
        self._heard_in = -1
        self._passed_on = bus.metrics.passed_on
        self._passed_on.known("sent")
        self._passed_on.known("back")

    async def start(self) -> None:
        """Listen, over reconnects too; the bus must have been connected once."""
        self._inbox = self._bus.client.new_inbox()
        await hear(self._bus.client, f"{self._inbox}.*", self._on_answer)
        self._ear = await hear(self._bus.client, self._subject, self._on_passed)
        self._bus.on_reconnect(self._call)
        await self._call()

    async def stop(self) -> None:
        """Listen no more: what is passed to here from now on goes back to who sent it."""
        self._bus.off_reconnect(self._call)
        if self._ear is not None:
            await drain(self._ear)

    async def send(self, message: Msg, subject: str) -> bool:
        """Pass a message on to whoever listens there; False where it has to be handled here."""
        if not self._able or len(self._under_way) >= _MOST or _size(message) > _MOST_BYTES:
            return False
        token = str(next(self._tokens))
        self._under_way[token] = self._loop.time(), message
        if self._alarm is None:
            self._alarm = self._loop.call_later(_PATIENCE_S, self._look)
        headers = {
            **(message.headers or {}),
            HEADER_SUBJECT: message.subject,
            HEADER_ACK: message.reply,
        }
        try:
            await self._bus.client.publish(
                subject, message.data, reply=f"{self._inbox}.{token}", headers=headers
            )
        except BaseException as error:
            self._under_way.pop(token, None)
            if isinstance(error, GONE):
                return False
            raise
        self._passed_on.add("sent")
        return True

    @property
    def _able(self) -> bool:
        # While it is away nats-py would keep the message for the next connection, and the stream
        # deliver it meanwhile.
        return self._bus.connected and self._heard_in == self._bus.epoch

    async def _call(self) -> None:
        """Send this process a message without headers, which is none that was passed on."""
        # Where the bus is away just now, it calls again once it is back.
        with suppress(BusUnavailable):
            await self._bus.publish(self._subject, b"")

    def _on_passed(self, passed: Msg) -> None:
        if passed.headers is None:
            self._heard_in = self._bus.epoch
            return
        headers = dict(passed.headers)
        subject, ack = headers.pop(HEADER_SUBJECT), headers.pop(HEADER_ACK)
        self._take(
            Msg(self._bus.client, subject=subject, reply=ack, data=passed.data, headers=headers)
        )
        receipt = self._loop.create_task(self._say_taken(passed.reply))
        self._receipts.add(receipt)
        receipt.add_done_callback(self._receipts.discard)

    async def _say_taken(self, reply: str) -> None:
        # Unsaid, the message is handled twice.
        with suppress(BusUnavailable):
            await self._bus.publish(reply, b"")

    def _on_answer(self, answer: Msg) -> None:
        _, message = self._under_way.pop(answer.subject.rpartition(".")[2], (0.0, None))
        # Headers are the server's, whose word is that the subject has no subscriber.
        if message is not None and answer.headers is not None:
            self._handle_here(message)

    def _look(self) -> None:
        """Take back what nobody has taken in time."""
        self._alarm = None
        since = self._loop.time() - _PATIENCE_S
        late = [token for token, (sent_at, _) in self._under_way.items() if sent_at <= since]
        for token in late:
            self._handle_here(self._under_way.pop(token)[1])
        if self._under_way:
            oldest, _ = next(iter(self._under_way.values()))
            self._alarm = self._loop.call_at(oldest + _PATIENCE_S, self._look)

    def _handle_here(self, message: Msg) -> None:
        self._passed_on.add("back")
        self._take(message)


def _size(message: Msg) -> int:
    headers = message.headers or {}
    lines = (len(name) + len(value.encode()) + 4 for name, value in headers.items())
    return len(message.data) + sum(lines)
