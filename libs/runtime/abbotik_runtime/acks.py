"""The only place that tells JetStream what became of a message."""

from __future__ import annotations

from typing import assert_never

import nats.errors
from nats.aio.msg import Msg
from nats.js.errors import APIError

from abbotik_contracts.subjects import dead_letters
from abbotik_kernel.outcome import Done, Outcome, Reject, Retry
from abbotik_runtime import logs
from abbotik_runtime.bus import Bus, BusUnavailable
from abbotik_runtime.connection import GONE
from abbotik_runtime.dead_letters import letter_of
from abbotik_runtime.loops import Loop

# Twice that is well below every `ack_wait`.
_MARK_EVERY_S = 0.6
_DEAD_LETTER_AGAIN_S = 5.0
_CONFIRM_S = 2.0
_LONGEST_DELAY_S = 3600.0

_log = logs.get("acks")


async def settle(message: Msg, outcome: Outcome, *, service: str, bus: Bus) -> None:
    """Acknowledge, deliver again after a delay, or keep as a dead letter and end the message.

    Never raises for a lost connection: an answer that does not arrive means a redelivery, which
    every handler must bear anyway.
    """
    match outcome:
        case Done():
            name = "done"
            await _answer(bus, message, b"+ACK")
        case Retry(delay_s):
            name = "retry"
            await postpone(message, delay_s, bus=bus)
        case Reject(code, cause):
            name = "reject"
            await _reject(message, code, cause, service, bus)
        case _:
            assert_never(outcome)
    bus.metrics.settled.add(service, name)


async def postpone(message: Msg, delay_s: float, *, bus: Bus) -> None:
    """Have the message delivered again, to anybody, after ``delay_s`` seconds; 0 is at once.

    An hour at most: the server takes a delay that it cannot count for none at all.
    """
    delay = int(min(delay_s, _LONGEST_DELAY_S) * 1_000_000_000)
    await _answer(bus, message, b'-NAK {"delay": %d}' % delay if delay > 0 else b"-NAK")


async def confirm(message: Msg, *, bus: Bus, timeout_s: float = _CONFIRM_S) -> bool:
    """Acknowledge and wait until the server has it: True; False where nobody knows."""
    try:
        await bus.client.request(message.reply, b"+ACK", timeout=timeout_s)
    except (nats.errors.TimeoutError, nats.errors.NoRespondersError, *GONE):
        return False
    bus.metrics.settled.add(bus.service, "done")
    return True


async def _answer(bus: Bus, message: Msg, word: bytes) -> None:
    try:
        await bus.client.publish(message.reply, word)
    except GONE as error:
        _log.info("ack_lost", subject=message.subject, error=type(error).__name__)


async def _reject(message: Msg, code: str, cause: str, service: str, bus: Bus) -> None:
    headers, data = letter_of(message, code, cause, bus.client.max_payload)
    where = message.metadata
    # Stored once however often the message comes back before its end is known.
    identity = f"{where.stream}:{where.sequence.stream}:{where.timestamp.timestamp()}"
    try:
        await bus.publish_stored(
            dead_letters(service), data, message_id=f"dlq:{identity}", headers=headers
        )
    except (BusUnavailable, APIError) as error:
        _log.warning("dead_letter_not_stored", subject=message.subject, error=str(error))
        await postpone(message, _DEAD_LETTER_AGAIN_S, bus=bus)
        return
    _log.error("dead_letter", subject=message.subject, code=code, cause=cause)
    await _answer(bus, message, b"+TERM")


class _Holding:
    """One message under way, inside of `with`. No generator: one is made for each message."""

    def __init__(self, held: dict[str, int], reply: str) -> None:
        self._held = held
        self._reply = reply

    def __enter__(self) -> None:
        self._held[self._reply] = self._held.get(self._reply, 0) + 1

    def __exit__(self, *_: object) -> None:
        left = self._held[self._reply] - 1
        if left:
            self._held[self._reply] = left
        else:
            del self._held[self._reply]


class InProgress:
    """Keeps messages from being delivered again while their handlers run.

    One loop marks all that are held, every 0.6 s against an `ack_wait` of 2 s; the marks are
    hints, they may be late.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._held: dict[str, int] = {}
        self._held_before: set[str] = set()
        self._loop = Loop("in_progress", _MARK_EVERY_S, self._mark, metrics=bus.metrics, jitter=0)

    def start(self) -> None:
        """Begin to mark."""
        self._loop.start()

    async def stop(self) -> None:
        """Mark no more."""
        await self._loop.stop()

    def holding(self, message: Msg) -> _Holding:
        """Mark ``message`` until the block ends."""
        return _Holding(self._held, message.reply)

    async def _mark(self) -> None:
        # Most messages are settled before their first mark would be worth its way.
        due, self._held_before = self._held_before, set(self._held)
        for reply in due:
            # Without a connection the marks would only fill the buffer of what is to be sent.
            if not self._bus.connected:
                return
            if reply in self._held:
                await self._bus.client.publish(reply, b"+WPI")
