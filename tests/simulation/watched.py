"""Tools that note who calls them without holding the room: an effect that no log can undo."""

from __future__ import annotations

from collections.abc import Callable

from abbotik_contracts.room_log import LogEntry, Record
from abbotik_room_worker.ports import Tool
from tests.simulation.clocks import TrueClock


class WatchedTool:
    """A tool of one worker. The argument ``room`` names the room that it is called in.

    ``stray`` is told the session that called it more than ``heard_ms`` after it had lost the lease.
    """

    def __init__(
        self,
        tool: Tool,
        session: str,
        log_of: Callable[[str], list[LogEntry]],
        stray: Callable[[str], None],
        heard_ms: int,
    ) -> None:
        self._tool = tool
        self._session = session
        self._log_of = log_of
        self._stray = stray
        self._heard_ms = heard_ms
        self.idempotent = tool.idempotent

    async def __call__(self, arguments: Record) -> Record:
        """Run once."""
        lost_at = self._lost_at(self._log_of(str(arguments["room"])))
        if lost_at is not None and TrueClock().now_ms() - lost_at >= self._heard_ms:
            self._stray(self._session)
        return await self._tool(arguments)

    def _lost_at(self, log: list[LogEntry]) -> int | None:
        """Return when another one took the lease, or the turn was ended; None while it is held."""
        lost_at = None
        for entry in reversed(log):
            lease = entry["state"]["lease"]
            if lease is not None and lease["session"] == self._session:
                return lost_at
            lost_at = entry["at"]
        return lost_at
