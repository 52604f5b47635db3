"""Whether a pull request waits at the server with nothing to give it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

# A delivery is rarely alone; until nothing came for this long, no question is sent. Seconds.
_QUIET_S = 0.001
# The pause before asking again whether others have taken what waited; seconds.
_AGAIN_S = 0.05


class Parking:
    """Knows whether the server had nothing for us when it last had the chance.

    After each change, and a moment of quiet, it finds out in one of two ways. When the last
    message said that it was the last one, a mark goes through the same connection to our own
    inbox: when it is back and nothing was delivered since, that still holds. Otherwise
    ``nothing_waits`` asks the server for its count; a mark alone would prove nothing, since the
    server may take long between reading a request and answering it.
    """

    def __init__(
        self,
        send_mark: Callable[[str], Awaitable[None]],
        nothing_waits: Callable[[], Awaitable[bool]],
    ) -> None:
        self._send_mark = send_mark
        self._nothing_waits = nothing_waits
        self._events = 0
        self._parked = False
        self._was_last = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self._last_event = 0.0

    @property
    def parked(self) -> bool:
        """The answer, as far as it is known."""
        return self._parked

    def asked(self) -> None:
        """Note that a request was sent while none lay at the server."""
        self._changed(was_last=False)

    def delivered(self, *, was_last: bool) -> None:
        """Note a message; ``was_last`` where it says that none waits behind it."""
        self._changed(was_last=was_last)

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
        if self._asking is not None:
            self._asking.cancel()

    def _changed(self, *, was_last: bool) -> None:
        self._parked = False
        self._events += 1
        self._was_last = was_last
        self._last_event = self._loop.time()
        if self._timer is None and self._asking is None:
            self._timer = self._loop.call_later(_QUIET_S, self._ask)

    def _ask(self) -> None:
        self._timer = None
        quiet = self._loop.time() - self._last_event
        if quiet < _QUIET_S:
            self._timer = self._loop.call_later(_QUIET_S - quiet, self._ask)
        else:
            self._asking = self._loop.create_task(self._find_out(self._events))

    async def _find_out(self, events: int) -> None:
        try:
            if self._was_last:
                await self._send_mark(str(events))
                pause = 0.0
            else:
                empty = await self._nothing_waits()
                self._parked = empty and events == self._events
                pause = 0.0 if empty else _AGAIN_S
        finally:
            self._asking = None
        if pause or events != self._events:
            self._timer = self._loop.call_later(pause or _QUIET_S, self._ask)
