"""Projections: one document per aggregate, written after the commit, only forward in `rev`.

Many aggregates go out in one bulk; of one that changed twice meanwhile only the newest is written.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

log = structlog.get_logger(__name__)

LINGER_S = 0.1
_DUPLICATE_KEY = 11000
_MAX_BATCH = 256


class ProjectionError(Exception):
    """The projection could not be written; the commit stands, and somebody has to repair it."""


class Projector:
    """Writes the projections of one collection for one process.

    A document has `_id`, `tenant` and `rev`; one that is not newer than what is stored is left out
    by the filter (MongoDB then reports a duplicate key for the upsert, which is no fault).
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]], collection: str) -> None:
        self._collection = database[collection]
        self._waiting: dict[str, tuple[dict[str, Any], asyncio.Future[None]]] = {}
        self._flush: asyncio.Task[None] | None = None
        self._urgent = asyncio.Event()

    async def write(self, document: dict[str, Any], *, urgent: bool = False) -> None:
        """Return when this document, or a newer one of the same id, is stored.

        Nobody waits for a projection on the way to an answer, so the ones that are not ``urgent``
        linger for LINGER_S: of a turn that begins and ends meanwhile only the end is written.
        Raises ProjectionError when MongoDB did not take it.
        """
        key = document["_id"]
        newest, done = self._waiting.get(key) or (
            document,
            asyncio.get_running_loop().create_future(),
        )
        if document["rev"] >= newest["rev"]:
            newest = document
        self._waiting[key] = (newest, done)
        if urgent:
            self._urgent.set()
        if self._flush is None:
            self._flush = asyncio.create_task(self._write_all())
        await asyncio.shield(done)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._linger()
                batch = [self._waiting.pop(key) for key in list(self._waiting)[:_MAX_BATCH]]
                await self._write(batch)
        finally:
            self._flush = None

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER_S):
                await self._urgent.wait()
        except TimeoutError:
            return
        self._urgent.clear()

    async def _write(self, batch: list[tuple[dict[str, Any], asyncio.Future[None]]]) -> None:
        error = await self._store([document for document, _ in batch])
        if error is not None:
            log.warning("projection.unwritten", documents=len(batch), error=str(error))
        for _, done in batch:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    async def _store(self, documents: list[dict[str, Any]]) -> ProjectionError | None:
        try:
            doubled = await self._forward(documents, upsert=True)
            # Of two that insert a new key at once, the one that came second may be the newer one.
            await self._forward(doubled, upsert=False)
        except BulkWriteError:
            return ProjectionError("MongoDB refused a projection")
        except Exception as failure:  # noqa: BLE001  nobody may wait for a batch that is forgotten
            return ProjectionError(type(failure).__name__)
        return None

    async def _forward(
        self, documents: list[dict[str, Any]], *, upsert: bool
    ) -> list[dict[str, Any]]:
        """Write what is newer than what is stored; return what met a document of its key."""
        if not documents:
            return []
        updates = [_update(document, upsert=upsert) for document in documents]
        try:
            await self._collection.bulk_write(updates, ordered=False)
        except BulkWriteError as failure:
            details: dict[str, Any] = dict(failure.details or {})
            errors = details.get("writeErrors", [])
            if details.get("writeConcernErrors") or {e["code"] for e in errors} != {_DUPLICATE_KEY}:
                raise
            return [documents[error["index"]] for error in errors]
        return []


def _update(document: dict[str, Any], *, upsert: bool) -> UpdateOne:
    key = {"_id": document["_id"], "tenant": document["tenant"]}
    return UpdateOne(
        {**key, "rev": {"$lt": document["rev"]}},
        {"$set": {name: value for name, value in document.items() if name not in key}},
        upsert=upsert,
    )
