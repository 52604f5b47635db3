"""The list of rooms, read from the projection `rooms`, which the workers write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pymongo import DESCENDING

from abbotik_contracts.room_log import Record, StoredState
from abbotik_contracts.room_views import room_record
from abbotik_gateway.adapters.away import mongo_away
from abbotik_gateway.domain.paging import ListPlace
from abbotik_runtime.mongo import Database
from abbotik_runtime.uncancelled import uncancelled

ROOMS = "rooms"

Row = tuple[ListPlace, Record]


class MongoRoomList:
    """The rooms of a tenant; index {tenant, released, rented_at desc, _id desc}."""

    def __init__(self, database: Database) -> None:
        self._rooms = database[ROOMS]

    @uncancelled
    async def page(
        self,
        tenant: str,
        *,
        status: str | None,
        name: str | None,
        after: ListPlace | None,
        limit: int,
    ) -> list[Row]:
        """Return at most ``limit`` rows behind ``after``, unreleased first, newest first in each.

        Two range reads of the index, one for each half: one query over both with `$or` would sort
        in memory.
        """
        filters: dict[str, Any] = {"tenant": tenant}
        if status is not None:
            filters["state.status"] = status
        if name is not None:
            filters["config.metadata.name"] = name
        rows: list[Row] = []
        for released in (False, True):
            if len(rows) >= limit or (after is not None and after.released and not released):
                continue
            here = after if after is not None and after.released == released else None
            rows += await self._half(tenant, filters, released, here, limit - len(rows))
        return rows

    async def _half(
        self,
        tenant: str,
        filters: Mapping[str, Any],
        released: bool,  # noqa: FBT001  a value of the index, not a switch
        after: ListPlace | None,
        limit: int,
    ) -> list[Row]:
        query: dict[str, Any] = {**filters, "released": released}
        if after is not None:
            query["rented_at"] = {"$lte": after.rented_at}
            query["$or"] = [
                {"rented_at": {"$lt": after.rented_at}},
                {"_id": {"$lt": after.room}},
            ]
        found = self._rooms.find(
            query, sort=[("rented_at", DESCENDING), ("_id", DESCENDING)], limit=limit
        )
        with mongo_away():
            return [_row(tenant, released, document) async for document in found]


def _row(tenant: str, released: bool, document: Mapping[str, Any]) -> Row:  # noqa: FBT001  as above
    room: str = document["_id"]
    state = cast("StoredState", document["state"])
    place = ListPlace(released, document["rented_at"], room)
    return place, room_record(tenant, room, state, document["config"])
