"""The pauses of a script, in a test's hands."""

from __future__ import annotations

import asyncio


class Pauses:
    """The script's sleep: over at once, or held until the test lets it go on."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.reached = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    async def __call__(self, seconds: float) -> None:
        """Sleep as long as the test wants, whatever the script says."""
        self.asked.append(seconds)
        self.reached.set()
        await asyncio.sleep(0)
        await self._open.wait()

    def hold(self) -> None:
        """Let whoever sleeps from now on sleep until `go`."""
        self.reached.clear()
        self._open.clear()

    def go(self) -> None:
        """Wake them all."""
        self._open.set()
