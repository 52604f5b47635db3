"""Idempotency keys in MongoDB: one document a key, its `_id` the (tenant, route, key)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from abbotik_gateway.adapters.away import mongo_away
from abbotik_gateway.domain.keyed import RUNNING_MS, Keyed
from abbotik_gateway.domain.outcome import Outcome, read_outcome
from abbotik_kernel.clock import Clock
from abbotik_runtime.mongo import Database

IDEMPOTENCY = "idempotency"


class MongoKeyStore:
    """Keys are remembered for 24 h, by the collection's TTL index on `at`.

    Times come from this process's clock. A wrong one makes a running request look finished or
    the other way round; the command behind it stays one command either way.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._keys = database[IDEMPOTENCY]
        self._clock = clock

    async def begin(self, wanted: Keyed) -> Keyed:
        """Store the request unless its key is known; return what is stored, with its age."""
        now = self._clock.now_ms()
        document = {
            "_id": _id(wanted),
            "at": datetime.fromtimestamp(now / 1000, UTC),
            "digest": wanted.digest,
            "command": wanted.command,
            "room": wanted.room,
            "began": now,
            "opened": False,
        }
        with mongo_away():
            try:
                await self._keys.insert_one(document)
            except DuplicateKeyError:
                found = await self._keys.find_one({"_id": document["_id"]})
            else:
                return wanted
        # Gone between both: its 24 h were over, and it is as good as never having been there.
        return wanted if found is None else self._stored(wanted, found, now)

    async def take_over(self, stored: Keyed) -> bool:
        """Make this request the one that runs; False where another one was quicker."""
        now = self._clock.now_ms()
        with mongo_away():
            taken = await self._keys.update_one(
                {
                    "_id": _id(stored),
                    "outcome": {"$exists": False},
                    "$or": [{"opened": True}, {"began": {"$lte": now - RUNNING_MS}}],
                },
                {"$set": {"began": now, "opened": False}},
            )
        return taken.modified_count == 1

    async def finish(self, stored: Keyed, outcome: Outcome) -> None:
        """Keep the outcome as the answer to every later request with the key."""
        # As bytes: what callers put into metadata may be no field name for MongoDB.
        await self._set(stored, {"outcome": outcome.line()})

    async def reopen(self, stored: Keyed) -> None:
        """Say that the outcome stayed open, so that the next request may publish at once."""
        await self._set(stored, {"opened": True})

    async def _set(self, stored: Keyed, members: dict[str, Any]) -> None:
        with mongo_away():
            await self._keys.update_one(
                {"_id": _id(stored), "command": stored.command, "outcome": {"$exists": False}},
                {"$set": members},
            )

    @staticmethod
    def _stored(wanted: Keyed, found: dict[str, Any], now: int) -> Keyed:
        outcome = found.get("outcome")
        return Keyed(
            tenant=wanted.tenant,
            route=wanted.route,
            key=wanted.key,
            digest=found["digest"],
            command=found["command"],
            room=found["room"],
            age_ms=now - found["began"],
            opened=found["opened"],
            outcome=None if outcome is None else read_outcome(outcome),
        )


def _id(keyed: Keyed) -> dict[str, str]:
    return {"tenant": keyed.tenant, "route": keyed.route, "key": keyed.key}
