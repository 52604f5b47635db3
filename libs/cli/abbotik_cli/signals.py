"""The wish to stop, as it arrives by signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """Set by the first SIGINT, SIGTERM or SIGHUP; from the second on `again` is called."""

    def __init__(self, again: Callable[[], None]) -> None:
        self._again = again
        self._event = asyncio.Event()

    def listen(self) -> None:
        """Take the signals."""
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._arrived)
        # Under nohup it is ignored and stays so. SIGINT is taken even then: a script's background
        # job starts with it ignored and must still end when it is sent on purpose.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._arrived)

    async def wait(self) -> None:
        """Return once the first has arrived."""
        await self._event.wait()

    def _arrived(self) -> None:
        if self._event.is_set():
            self._again()
        self._event.set()
