"""One published command, and the one future for all that may come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from nats.aio.msg import Msg
from nats.js.errors import APIError

from abbotik_gateway.domain.outcome import Outcome
from abbotik_runtime.confirmations import SubjectFull, Unconfirmed, read_ack

# What a stream's word may be, where it does not have the command.
_BAD = (Unconfirmed, SubjectFull, APIError)


class Asked:
    """Waits for the outcome; what the stream says only counts where it is bad, or missing.

    ``until`` is a time of the monotonic clock; ``on_stored`` is told the seconds until it was sure
    that the stream has the command.
    """

    def __init__(self, until: float, on_stored: Callable[[float], None]) -> None:
        self._until = until
        self._on_stored = on_stored
        self._loop = asyncio.get_running_loop()
        self._began = monotonic()
        self._stored = False
        self._future: asyncio.Future[Outcome | None] = self._loop.create_future()
        # What came after the future was done: it may have failed, and `answer` not know yet.
        self._late: list[Outcome | None] = []
        self._alarm: asyncio.TimerHandle | None = None

    async def answer(self, patience_s: float) -> Outcome | None:
        """Return the outcome, None where it may be lost; it can be asked for again after an error.

        Unconfirmed where the stream did not store it, nothing was said within ``patience_s``, or
        time is up; or the stream's APIError.
        """
        self._set_alarm(patience_s)
        try:
            return await self._future
        except _BAD:
            # The outcome of an earlier try may still come, or have come just now.
            self._future = self._loop.create_future()
            if self._late:
                return next(filter(None, self._late), None)
            raise
        finally:
            if self._alarm is not None:
                self._alarm.cancel()

    def on_outcome(self, outcome: Outcome) -> None:
        """Take the outcome; only a stored command has one."""
        self._note_stored()
        self._settle(outcome)

    def ask_again(self) -> None:
        """Note that the outcome may be lost."""
        self._settle(None)

    def on_ack(self, message: Msg) -> None:
        """Take the stream's word."""
        try:
            read_ack(message)
        except _BAD as error:
            self._fail(error)
        else:
            self._note_stored()

    def _note_stored(self) -> None:
        if not self._stored:
            self._stored = True
            self._on_stored(monotonic() - self._began)

    def _settle(self, outcome: Outcome | None) -> None:
        if self._future.done():
            self._late.append(outcome)
        else:
            self._future.set_result(outcome)

    def _set_alarm(self, longest_s: float) -> None:
        left = max(0.0, self._until - monotonic())
        self._alarm = self._loop.call_later(min(longest_s, left), self._ring)

    def _ring(self) -> None:
        left = self._until - monotonic()
        if self._stored and left > 0:
            self._set_alarm(left)
        else:
            self._fail(Unconfirmed("nothing was said in time"))

    def _fail(self, error: Exception) -> None:
        if not self._future.done():
            self._future.set_exception(error)
