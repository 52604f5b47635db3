"""A continuous pull of one durable consumer; nats-py's `fetch` asks anew for every batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from abbotik_contracts.subjects import Consumer
from abbotik_runtime import logs
from abbotik_runtime.acks import postpone
from abbotik_runtime.bus import Bus
from abbotik_runtime.connection import GONE
from abbotik_runtime.inbox import drain, is_last
from abbotik_runtime.parking import Parking

_REQUEST = b'{"batch":%d,"expires":30000000000,"idle_heartbeat":1000000000}'
# Three heartbeats: whoever is silent for so long has forgotten the requests. Seconds.
_SILENCE_S = 3.0
_LOOK_S = 0.5
_REFUSED_PAUSE_S = 1.0
_ERROR_DELAY_S = 1.0
_OVERFLOW_DELAY_S = 0.1

_HEARTBEAT = "100"
_PENDING = "Nats-Pending-Messages"
_MARK = "mark."

_log = logs.get("pull")


class PullLoop:
    """Keeps pull requests at the server and runs ``handle`` for each message, in a task of its own.

    ``capacity`` bounds the handlers: a number, or a callable that returns the free places *now*;
    with a callable ``handle`` must take its place before its first await. At most ``batch``
    messages are asked for and not yet delivered. ``handle`` settles the message; when it raises,
    the message comes again after a second. ``pass_on`` is asked first, if there is one: true means
    that another process settles the message. It never raises.
    """

    def __init__(
        self,
        bus: Bus,
        consumer: Consumer,
        handle: Callable[[Msg], Awaitable[None]],
        *,
        capacity: int | Callable[[], int],
        batch: int = 256,
        pass_on: Callable[[Msg], Awaitable[bool]] | None = None,
    ) -> None:
        self.name = consumer.name
        # Asking for the loop is a system call each time.
        self._loop = asyncio.get_running_loop()
        self._bus = bus
        self._handle = handle
        self._capacity = capacity
        self._batch = batch
        self._pass_on = pass_on
        self._stream = consumer.stream
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}"
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._epoch = -1
        self._asked = 0
        self._starting = 0
        self._running = 0
        self._handlers: set[asyncio.Task[None]] = set()
        self._heard_at = 0.0
        self._paused_until = 0.0
        self._refusal: str | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._parking = Parking(self._send_mark, self._nothing_waits)
        bus.metrics.delivered.known(self.name)
        bus.metrics.handler_errors.known(self.name)
        bus.metrics.handling.labels(self.name).set_function(lambda: self._running)

    @property
    def parked(self) -> bool:
        """Whether the server had nothing for us when it last had the chance.

        False from each delivery on, until a request is known to wait at the server again.
        """
        return self._parking.parked and self._asked > 0 and self._current

    @property
    def answer_age_s(self) -> float:
        """Seconds since the server last gave a sign; it gives one a second while asked."""
        return time.monotonic() - self._heard_at

    async def check(self) -> str | None:
        """Say for readiness why nothing is delivered, None if the server would."""
        if self._refusal is not None:
            return f"consumer {self.name}: {self._refusal}"
        if self._asked and self.answer_age_s > _SILENCE_S + 2 * _LOOK_S:
            return f"consumer {self.name}: no answer to pull requests"
        return None

    def start(self) -> None:
        """Begin to ask, now or once the bus is connected."""
        self._bus.on_reconnect(self._reconnected)
        self._keeper = self._loop.create_task(self._keep(), name=f"pull {self.name}")

    async def stop(self) -> None:
        """Ask no more; what was delivered and not yet handed over goes back at once.

        Handlers run on: see `drained`.
        """
        self._stopping = True
        self._bus.off_reconnect(self._reconnected)
        self._parking.close()
        self._wake.set()
        if self._keeper is not None:
            await self._keeper
        self._leave()
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def drained(self, timeout_s: float) -> bool:
        """Wait for the handlers under way; False if some still run after ``timeout_s``."""
        if not self._handlers:
            return True
        _, left = await asyncio.wait(self._handlers, timeout=timeout_s)
        return not left

    def wake(self) -> None:
        """Ask for the capacity again, now."""
        self._wake.set()

    @property
    def _current(self) -> bool:
        return self._bus.connected and self._epoch == self._bus.epoch

    def _places(self) -> int:
        if callable(self._capacity):
            return self._capacity() - self._starting
        return self._capacity - self._running

    async def _reconnected(self) -> None:
        self._wake.set()

    async def _keep(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                await self._look()
            except nats.errors.Error as error:
                _log.info("pull_interrupted", consumer=self.name, error=type(error).__name__)
            except Exception:  # noqa: BLE001 - asking must go on whatever the capacity says
                _log.exception("pull_failed", consumer=self.name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._wake.wait()

    async def _look(self) -> None:
        if not self._bus.connected or time.monotonic() < self._paused_until:
            return
        silent = self._asked > 0 and self.answer_age_s > _SILENCE_S
        # A request cannot be taken back, only its inbox can; while there is no place, requests
        # would draw messages away from workers that have one.
        crowded = self._asked > 0 and self._places() <= 0
        if self._subscription is None or not self._current or silent or crowded:
            await self._renew()
        await self._top_up()

    async def _renew(self) -> None:
        """Forget all requests: an answer to one of them finds its inbox no more."""
        self._leave()
        client = self._bus.client
        self._parking.unknown()
        self._epoch = self._bus.epoch
        self._asked = 0
        self._inbox = inbox = client.new_inbox()
        self._heard_at = time.monotonic()
        self._subscription = await client.subscribe(
            f"{inbox}.>", cb=partial(self._on_message, inbox)
        )

    def _leave(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            task = self._loop.create_task(drain(subscription))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _top_up(self) -> None:
        if self._stopping or self._subscription is None or not self._current:
            return
        want = min(self._batch, self._places()) - self._asked
        # Under load this asks for many at a time instead of for each place that becomes free.
        if want < max(1, self._asked):
            return
        first = self._asked == 0
        if first:
            self._heard_at = time.monotonic()
        self._asked += want
        try:
            await self._bus.client.publish(
                self._subject, _REQUEST % want, reply=f"{self._inbox}.{want}"
            )
        except GONE:
            return  # `_look` starts anew with the next connection
        if first:
            self._parking.asked()

    async def _send_mark(self, mark: str) -> None:
        with contextlib.suppress(*GONE):
            await self._bus.client.publish(f"{self._inbox}.{_MARK}{mark}", b"")

    async def _nothing_waits(self) -> bool:
        try:
            info = await self._bus.js.consumer_info(self._stream, self.name)
        except nats.errors.Error:
            return False
        return not info.num_pending

    async def _on_message(self, inbox: str, message: Msg) -> None:
        self._heard_at = time.monotonic()
        ours = inbox == self._inbox
        if not message.reply:
            if ours:
                self._on_status(message.subject[len(inbox) + 1 :], message.headers or {})
            return
        if ours:
            self._refusal = None
            self._less(1)
            if self._asked:
                self._parking.delivered(was_last=is_last(message.reply))
        if self._pass_on is None or self._stopping or not await self._pass_on(message):
            self.take(message)
        await self._top_up()

    def take(self, message: Msg) -> None:
        """Handle a message; also one that another process was given and passed on to this one."""
        if self._stopping or self._places() <= 0:
            delay_s = 0 if self._stopping else _OVERFLOW_DELAY_S
            self._spawn(postpone(message, delay_s, bus=self._bus))
            return
        self._bus.metrics.delivered.add(self.name)
        self._starting += 1
        self._running += 1
        self._spawn(self._run(message))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _run(self, message: Msg) -> None:
        self._starting -= 1
        try:
            if self._stopping:
                await postpone(message, 0, bus=self._bus)
            else:
                await self._handle(message)
        except Exception:  # noqa: BLE001 - the message must come again, whatever went wrong
            _log.exception("handler_failed", consumer=self.name, subject=message.subject)
            self._bus.metrics.handler_errors.add(self.name)
            await postpone(message, _ERROR_DELAY_S, bus=self._bus)
        finally:
            self._running -= 1
        await self._top_up()

    def _on_status(self, tail: str, headers: dict[str, str]) -> None:
        if tail.startswith(_MARK):
            self._parking.mark_back(tail.removeprefix(_MARK))
            return
        status = headers.get("Status", "")
        if status == _HEARTBEAT:
            self._refusal = None
        elif _PENDING in headers:
            # The request ended, by its time mostly, with so many messages not delivered.
            self._less(int(headers[_PENDING]))
            self._wake.set()
        else:
            self._refused(f"{status} {headers.get('Description', '')}".partition("\n")[0].strip())

    def _less(self, count: int) -> None:
        self._asked = max(0, self._asked - count)
        if not self._asked:
            self._parking.unknown()

    def _refused(self, reason: str) -> None:
        if reason != self._refusal:
            _log.warning("pull_refused", consumer=self.name, reason=reason)
        self._refusal = reason
        self._paused_until = time.monotonic() + _REFUSED_PAUSE_S
        # What the server still holds of other requests is not known.
        self._epoch = -1
