"""Whether a pull request waits at the server with nothing to give it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

# A delivery is rarely alone; until nothing came for this long, no question is sent. Seconds.
_QUIET_S = 0.001


class Parking:
    """Knows whether the server had nothing for us when it last had the chance.

    After a request was sent or a message came, and a moment of quiet, a mark is sent through the
    same connection to the same inbox. It overtakes neither the request before it nor a message of
    the server, so when it is back and nothing was delivered since, the request lies there empty.
    """

    def __init__(self, send_mark: Callable[[str], Awaitable[None]]) -> None:
        self._send_mark = send_mark
        self._events = 0
        self._parked = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._last_event = 0.0

    @property
    def parked(self) -> bool:
        """The answer, as of the last mark that came back."""
        return self._parked

    def disturbed(self) -> None:
        """Note that a message came, or that the first request was sent: nothing is known now."""
        self._parked = False
        self._events += 1
        self._last_event = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(_QUIET_S, self._ask)

    def unknown(self) -> None:
        """Note that no request lies at the server."""
        self._parked = False
        self._events += 1

    def mark_back(self, mark: str) -> None:
        """Take a mark that came back; stale ones say nothing."""
        if mark == str(self._events):
            self._parked = True

    def close(self) -> None:
        """Ask no more."""
        self.unknown()
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

    def _ask(self) -> None:
        quiet = self._loop.time() - self._last_event
        if quiet < _QUIET_S:
            self._timer = self._loop.call_later(_QUIET_S - quiet, self._ask)
            return
        self._timer = None
        self._sending = self._loop.create_task(self._mark(self._events))

    async def _mark(self, events: int) -> None:
        await self._send_mark(str(events))
