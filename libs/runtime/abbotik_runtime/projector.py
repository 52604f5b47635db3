"""Projections: one document per aggregate, written after the commit, only forward in `rev`.

Many aggregates go out in one update; of one that changed twice meanwhile only the newest is
written. A projection is owed until it is stored: a database that is away is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from bson import encode
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from abbotik_kernel.retry import Backoff

log = structlog.get_logger(__name__)

LINGER_S = 0.5
# Codes that blame the document itself and not the weather: BadValue, FailedToParse, Overflow,
# InvalidBSON, validation, size, key.
_REFUSED = frozenset({2, 9, 15, 22, 121, 10334, 17280})
_MAX_BATCH = 512
# One command takes 16 MiB; the last update of a batch may pass this by its own size.
_MAX_BATCH_BYTES = 4 * 1024 * 1024

Document = dict[str, Any]


class ProjectionError(Exception):
    """A projection that can never be written; the commit stands."""


@dataclass(slots=True)
class _Owed:
    """The newest state of one aggregate, and who waits until it is stored."""

    rev: int
    build: Callable[[], Document]
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def join(self, other: _Owed) -> None:
        """Take over who waits for the other one, and its state where that is newer."""
        self.waiting += other.waiting
        if other.rev > self.rev:
            self.rev, self.build = other.rev, other.build

    def stored(self) -> None:
        """Tell who waits."""
        for future in self.waiting:
            if not future.done():
                future.set_result(None)

    def refused(self, cause: str) -> None:
        """Tell who waits that it will never be stored."""
        for future in self.waiting:
            if not future.done():
                future.set_exception(ProjectionError(cause))


# The aggregate's id, what is owed of it, and the update that writes it.
Batch = list[tuple[str, _Owed, RawBSONDocument]]


class Projector:
    """Writes the projections of one collection for one process.

    A document has `_id`, `tenant` and `rev`; one that is not newer than what is stored, or another
    tenant's, changes nothing.
    """

    def __init__(self, database: AsyncDatabase[Document], collection: str) -> None:
        # Asking for the loop is a system call each time.
        self._loop = asyncio.get_running_loop()
        self._database = database
        self._collection = collection
        self._owed: dict[str, _Owed] = {}
        self._writing: asyncio.Task[None] | None = None
        self._urgent = asyncio.Event()
        self._backoff = Backoff(first=0.05, ceiling=2.0)

    def write(
        self, key: str, rev: int, build: Callable[[], Document], *, urgent: bool = False
    ) -> asyncio.Future[None]:
        """Owe a document; the future is done when it, or a newer one of the same id, is stored.

        ``build`` makes it when it goes out. Nobody waits for a projection on the way to an answer,
        so the ones that are not ``urgent`` linger for LINGER_S: of a turn that begins and ends
        meanwhile only the end is written. The future has ProjectionError where MongoDB can never
        take the document.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._owe(key, _Owed(rev, build, [future]))
        if urgent:
            self._urgent.set()
        if self._writing is None:
            self._writing = self._loop.create_task(self._write_all())
        return future

    def _owe(self, key: str, owed: _Owed) -> None:
        there = self._owed.get(key)
        if there is None:
            self._owed[key] = owed
        else:
            there.join(owed)

    async def _write_all(self) -> None:
        attempt = 0
        try:
            while self._owed:
                # What fills a batch has nothing to wait for: of many rooms each changes but once.
                if len(self._owed) < _MAX_BATCH:
                    await self._linger()
                batch = self._next_batch()
                try:
                    await self._store(batch)
                except PyMongoError as error:
                    log.warning(
                        "projection.waits", documents=len(batch), error=type(error).__name__
                    )
                    for key, owed, _ in batch:
                        self._owe(key, owed)
                    await asyncio.sleep(self._backoff.delay(attempt))
                    attempt += 1
                else:
                    attempt = 0
        finally:
            self._writing = None

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER_S):
                await self._urgent.wait()
        except TimeoutError:
            return
        self._urgent.clear()

    def _next_batch(self) -> Batch:
        batch: Batch = []
        size = 0
        while self._owed and len(batch) < _MAX_BATCH and size < _MAX_BATCH_BYTES:
            key = next(iter(self._owed))
            owed = self._owed.pop(key)
            update = _update(owed)
            if update is not None:
                size += len(update.raw)
                batch.append((key, owed, update))
        return batch

    async def _store(self, batch: Batch) -> None:
        """Write what is newer than what is stored. Raises PyMongoError."""
        if not batch:
            return
        # The command itself: `bulk_write` costs as much time of the driver for each document.
        reply = await self._database.command(
            {
                "update": self._collection,
                "updates": [update for _, _, update in batch],
                "ordered": False,
                "writeConcern": {"w": "majority", "j": True},
            }
        )
        _tell_refused(batch, reply)
        for _, owed, _ in batch:
            owed.stored()


def _update(owed: _Owed) -> RawBSONDocument | None:
    """Return the update, None where the document cannot be made; its waiters are told."""
    try:
        # Here and not by the driver, where it would take the others of the batch with it.
        return RawBSONDocument(encode(_if_newer(owed.build())))
    except Exception as error:  # nobody may wait for a document that is forgotten
        log.exception("projection.refused")
        owed.refused(f"{type(error).__name__}: {error}")
        return None


def _if_newer(document: Document) -> Document:
    """Return the update that stores a document unless a newer one, or another tenant's, is there.

    The conditions are not in the filter because one by `_id` alone needs no plan: with more in it
    the update costs MongoDB two fifths more.
    """
    tenant = {"$literal": document["tenant"]}
    is_due = {
        "$and": [
            {"$eq": [{"$ifNull": ["$tenant", tenant]}, tenant]},
            # What is absent is less than any number.
            {"$lt": ["$rev", document["rev"]]},
        ]
    }
    newest = {"$replaceWith": {"$cond": [is_due, {"$literal": document}, "$$ROOT"]}}
    return {"q": {"_id": document["_id"]}, "u": [newest], "upsert": True}


def _tell_refused(batch: Batch, reply: Mapping[str, Any]) -> None:
    """Tell who waits for what MongoDB refuses. Raises PyMongoError where an outcome is open."""
    if "writeConcernError" in reply:
        raise PyMongoError("the projections are not confirmed")
    for error in reply.get("writeErrors", ()):
        key, owed, _ = batch[error["index"]]
        if error["code"] not in _REFUSED:
            raise PyMongoError(f"a projection met code {error['code']}")
        log.error("projection.refused", projection=key, code=error["code"])
        owed.refused(f"MongoDB refused it with code {error['code']}")
