"""The list of a tenant's rooms, page by page."""

from __future__ import annotations

from dataclasses import dataclass

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain.paging import list_cursor, read_list_cursor
from abbotik_gateway.domain.problem import invalid_query
from abbotik_gateway.ports import RoomList

STATUSES = ("rented", "active", "idle", "sleeping", "releasing", "released", "failed")
MAX_NAME_CHARS = 256


@dataclass(frozen=True, slots=True)
class Listed:
    """One page; ``next_cursor`` is None on the last one."""

    rooms: list[Record]
    next_cursor: str | None


class Listing:
    """Lists rooms: unreleased before released, newest first in each. Raises UnavailableError."""

    def __init__(self, rooms: RoomList) -> None:
        self._rooms = rooms

    async def page(
        self, tenant: str, *, status: str | None, name: str | None, cursor: str | None, limit: int
    ) -> Listed:
        """Return one page; VALIDATION_FAILED and CURSOR_INVALID for parameters that are none."""
        if status is not None and status not in STATUSES:
            raise invalid_query("status", f"must be one of {', '.join(STATUSES)}")
        if name is not None and not (len(name) <= MAX_NAME_CHARS and name.isprintable()):
            raise invalid_query("name", f"must be a text of at most {MAX_NAME_CHARS} characters")
        # A cursor belongs to its filters: with others it would skip rooms.
        kind = f"rooms:{status}:{name}"
        rows = await self._rooms.page(
            tenant,
            status=status,
            name=name,
            after=None if cursor is None else read_list_cursor(kind, cursor),
            limit=limit + 1,
        )
        shown = rows[:limit]
        more = len(rows) > limit
        return Listed(
            [record for _, record in shown], list_cursor(kind, shown[-1][0]) if more else None
        )
