"""The MongoDB client with the settings that bound every call, and the indexes of all services."""

from __future__ import annotations

from typing import Any

import pymongo
from pymongo import AsyncMongoClient, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from abbotik_runtime.settings import ServiceSettings

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]

# Collection → its indexes. The provision step makes them; services never do.
INDEXES: dict[str, list[IndexModel]] = {
    "room_log": [
        IndexModel(
            [("tenant", 1), ("room", 1), ("keys", 1)],
            name="keys",
            unique=True,
            partialFilterExpression={"keys": {"$exists": True}},
        ),
        IndexModel([("session", 1), ("counter", 1)], name="token"),
        IndexModel(
            [("tenant", 1), ("room", 1), ("last_event_seq", 1)],
            name="events",
            partialFilterExpression={"events": {"$exists": True}},
        ),
        IndexModel(
            [("tenant", 1), ("room", 1), ("last_message_seq", 1)],
            name="messages",
            partialFilterExpression={"messages": {"$exists": True}},
        ),
        IndexModel(
            [("tenant", 1), ("room", 1), ("turns.message_seq", 1)],
            name="turns",
            partialFilterExpression={"turns": {"$exists": True}},
        ),
    ],
    "rooms": [
        IndexModel([("tenant", 1), ("released", 1), ("rented_at", -1), ("_id", -1)], name="list"),
        IndexModel([("at", 1)], name="wanting", partialFilterExpression={"wants_turn": True}),
        IndexModel([("due_at", 1)], name="due", partialFilterExpression={"due_at": {"$gt": 0}}),
        IndexModel([("session", 1)], name="held", partialFilterExpression={"session": {"$gt": ""}}),
    ],
    # Remembered for 24 h; the key itself is the `_id`.
    "idempotency": [IndexModel([("at", 1)], name="forget", expireAfterSeconds=24 * 3600)],
    "command_exceptions": [IndexModel([("at", 1)], name="forget", expireAfterSeconds=24 * 3600)],
    "tickets": [IndexModel([("usable_until", 1)], name="forget", expireAfterSeconds=0)],
    "workers": [IndexModel([("expires_at", 1)], name="expiry")],
}

_CALL_MS = 3000
_PING_S = 2.0


def connect(settings: ServiceSettings, service: str, *, max_pool: int = 50) -> Client:
    """Make the process's client; it connects at its first call, which must be in this loop.

    Any call ends within 3 s, with a PyMongoError whose outcome is unknown when it was a write.
    """
    # `timeoutMS` is the only setting that bounds a call; `socketTimeoutMS` and `wtimeoutMS` beside
    # it make calls last longer.
    return AsyncMongoClient[Document](
        settings.mongo_url,
        appname=f"abbotik-{service}",
        w="majority",
        journal=True,
        readConcernLevel="majority",
        readPreference="primary",
        retryWrites=True,
        retryReads=True,
        timeoutMS=_CALL_MS,
        serverSelectionTimeoutMS=_CALL_MS,
        connectTimeoutMS=2000,
        heartbeatFrequencyMS=2000,
        maxPoolSize=max_pool,
        waitQueueTimeoutMS=1000,
        maxIdleTimeMS=60_000,
        tz_aware=True,
    )


def database(client: Client, settings: ServiceSettings) -> Database:
    """Return the product's database: majority and journaled writes, majority reads."""
    return client.get_database(
        settings.mongo_database,
        write_concern=WriteConcern("majority", j=True),
        read_concern=ReadConcern("majority"),
    )


async def ensure_indexes(db: Database) -> None:
    """Create what INDEXES declares and is missing; OperationFailure if one exists differently."""
    for collection, indexes in INDEXES.items():
        await db[collection].create_indexes(indexes)


async def ping(client: Client) -> None:
    """Ask the primary for a sign of life; PyMongoError within 2 s if it gives none."""
    with pymongo.timeout(_PING_S):
        await client.admin.command("ping")
