"""Stream tickets in MongoDB, by the SHA-256 of their text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase

from abbotik_gateway.adapters.away import mongo_away
from abbotik_gateway.domain.caller import Caller
from abbotik_runtime.uncancelled import uncancelled

# Its TTL index on `usable_until` is declared with all others in `runtime.mongo`.
TICKETS = "tickets"


class MongoTickets:
    """Implements `Tickets`. `ends_at` is when the caller's token ends, null for never."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._tickets = database[TICKETS]

    async def issue(self, digest: str, caller: Caller, room: str, usable_until: int) -> None:
        """Store a new ticket of that caller and room."""
        ends_at = caller.token_expires_at
        until = usable_until if ends_at is None else min(usable_until, ends_at)
        document = {
            "_id": digest,
            "tenant": caller.tenant,
            "room": room,
            "caller": asdict(caller),
            "ends_at": None if ends_at is None else _date(ends_at),
            "usable_until": _date(until),
        }
        with mongo_away():
            await self._tickets.insert_one(document)

    @uncancelled
    async def use(self, digest: str, room: str, now: int, usable_until: int) -> Caller | None:
        """Return whom a live ticket of that room stands for, and keep it until ``usable_until``."""
        # Every later change waits for this one, so a ticket that was let in stays known.
        with mongo_away():
            found = await self._tickets.find_one_and_update(
                {"_id": digest, "room": room, "usable_until": {"$gt": _date(now)}},
                _kept_until(usable_until),
                projection={"caller": 1},
                return_document=ReturnDocument.AFTER,
            )
        return None if found is None else Caller(**found["caller"])

    async def keep(self, digests: Iterable[str], usable_until: int) -> None:
        """Keep tickets that are in use, or were until now."""
        wanted = sorted(set(digests))
        if wanted:
            with mongo_away():
                await self._tickets.update_many({"_id": {"$in": wanted}}, _kept_until(usable_until))


def _kept_until(usable_until: int) -> list[dict[str, Any]]:
    # `$min` passes over null: a token without an end does not bound the ticket.
    return [{"$set": {"usable_until": {"$min": ["$ends_at", _date(usable_until)]}}}]


def _date(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
