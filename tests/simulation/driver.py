"""MongoDB's driver over the database in memory: as much of it as log, rooms and sessions ask for.

Every call goes to the primary through its machine's network, and may fail in each way in which
one fails for real. What is read is majority-committed: that a projection, which sweeps read, or a
session is rolled back is not imitated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, OperationFailure

from abbotik_kernel.clock import Clock
from tests.fakes.room_worker.store import MemoryStore, StoredSession
from tests.simulation.database import Document, Primary, StoredLog, select, update
from tests.simulation.network import Machine

T = TypeVar("T")
Sort = Sequence[tuple[str, int]]
_DUPLICATE = {"code": 11000, "errmsg": "E11000 duplicate key"}
_INTERRUPTED = {"code": 11602, "errmsg": "interrupted: the replica set changed its primary"}
_NOT_SURE = {"code": 64, "errmsg": "waiting for replication timed out"}
_NOT_PRIMARY = 10107
_BY_ID: Sort = (("_id", ASCENDING),)


class Link:
    """A process's way to the primary."""

    def __init__(self, primary: Primary, machine: Machine) -> None:
        self._primary = primary
        self._machine = machine

    async def once(self, serve: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask the primary. AutoReconnect where nobody answered: it may be done all the same."""
        term = await self._primary.elected()

        async def served() -> T:
            if self._primary.term != term:
                raise AutoReconnect("it is the primary no more")
            return await serve()

        answer = await self._machine.call(served, AutoReconnect)
        if self._primary.term != term:
            raise AutoReconnect("the connection was closed")
        return answer

    async def ask(self, serve: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask the primary, and the next one, as the driver does for all but plain commands."""
        term = self._primary.term
        try:
            return await self.once(serve)
        except AutoReconnect:
            if self._primary.term == term:
                raise
        return await self.once(serve)


class SimDatabase:
    """One process's database."""

    def __init__(
        self, log: StoredLog, store: MemoryStore, primary: Primary, machine: Machine, clock: Clock
    ) -> None:
        self._log = log
        self._store = store
        self._machine = machine
        self._link = Link(primary, machine)
        self._collections = {
            "room_log": _Entries(log, self._link),
            "rooms": _Rooms(store, self._link, machine),
            "workers": _Workers(store, self._link, clock),
        }

    def seen_as(self) -> AsyncDatabase[dict[str, Any]]:
        """Return it as what the product takes it for."""
        return cast("AsyncDatabase[dict[str, Any]]", self)

    def get_collection(self, name: str, **_concerns: object) -> Any:
        """Return a collection."""
        return self._collections[name]

    def __getitem__(self, name: str) -> Any:
        return self._collections[name]

    async def command(self, command: Document) -> Document:
        """Write, unordered. Fails as a real one: whole, for some documents, or without knowing."""
        if "insert" in command:
            writes = [partial(self._log.insert, document) for document in command["documents"]]
        else:
            writes = [partial(update, self._store.rooms, one) for one in command["updates"]]
        return await self._link.once(partial(self._write, writes))

    async def _write(self, writes: Sequence[Callable[[], bool]]) -> Document:
        weather, random = self._machine.weather, self._machine.random
        if random.random() < weather.unsettled:
            return self._unsettled(writes)
        if random.random() < weather.interrupted:
            raise OperationFailure("not primary", _NOT_PRIMARY)
        errors: list[Document] = []
        for index, write in enumerate(writes):
            if random.random() < weather.interrupted:
                errors.append({"index": index, **_INTERRUPTED})
            elif not write():
                errors.append({"index": index, **_DUPLICATE})
        return {"ok": 1, "n": len(writes) - len(errors), "writeErrors": errors}

    def _unsettled(self, writes: Sequence[Callable[[], bool]]) -> Document:
        """Report success and a write concern error: what it says may be rolled back."""
        random, loop = self._machine.random, asyncio.get_running_loop()
        errors: list[Document] = []
        for index, write in enumerate(writes):
            fate = random.choice(("kept", "late", "rolled back", "met one that was rolled back"))
            if fate == "kept" and not write():
                errors.append({"index": index, **_DUPLICATE})
            elif fate == "late":
                loop.call_later(random.uniform(0, self._machine.weather.late_s), write)
            elif fate == "met one that was rolled back":
                errors.append({"index": index, **_DUPLICATE})
        report: dict[str, Any] = {"ok": 1, "n": len(writes), "writeConcernError": _NOT_SURE}
        return {**report, "writeErrors": errors} if errors else report


class _Found:
    """A cursor that asks once."""

    def __init__(self, ask: Callable[[], Awaitable[Any]]) -> None:
        self._ask = ask

    async def to_list(self, _length: int) -> list[dict[str, Any]]:
        """Return all."""
        return cast("list[dict[str, Any]]", await self._ask())

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        for found in await self._ask():
            yield found


class _Entries:
    """The collection of the log."""

    def __init__(self, log: StoredLog, link: Link) -> None:
        self._log = log
        self._link = link

    async def find_one(self, asked: Document, sort: Sort | None = None) -> dict[str, Any] | None:
        """Return the first one in that order."""
        found = await self.find(asked, sort=sort, limit=1).to_list(1)
        return found[0] if found else None

    def find(
        self,
        asked: Document,
        _shown: Document | None = None,
        *,
        sort: Sort | None = None,
        limit: int = 0,
    ) -> _Found:
        """Return a cursor."""
        order, direction = (sort or _BY_ID)[0]
        newest = direction == DESCENDING

        async def read() -> list[dict[str, Any]]:
            return self._log.find(asked, order, newest=newest, limit=limit)

        return _Found(partial(self._link.ask, read))


class _Rooms:
    """The collection of the projections: knows the questions of `MongoSweeps` and no others."""

    def __init__(self, store: MemoryStore, link: Link, machine: Machine) -> None:
        self._rooms = store.rooms
        self._link = link
        self._random = machine.random

    def find(
        self, asked: Document, shown: Document, *, sort: Sort | None = None, limit: int = 0
    ) -> _Found:
        """Return a cursor."""
        order, _ = (sort or _BY_ID)[0]

        async def read() -> list[dict[str, Any]]:
            found = select(self._rooms.values(), asked, order, limit)
            return [{name: room[name] for name in shown} for room in found]

        return _Found(partial(self._link.ask, read))

    async def distinct(self, name: str, asked: Document) -> list[Any]:
        """Return the values of a field."""

        async def read() -> list[Any]:
            return sorted({room[name] for room in select(self._rooms.values(), asked)})

        return await self._link.ask(read)

    async def aggregate(self, stages: Sequence[Document]) -> _Found:
        """Return a cursor over some that match, picked by chance."""
        match, limit, shown, sample = (next(iter(stage.values())) for stage in stages)
        found = await self.find(match, shown, limit=limit).to_list(limit)
        picked = self._random.sample(found, min(len(found), sample["size"]))

        async def read() -> list[dict[str, Any]]:
            return picked

        return _Found(read)


class _Workers:
    """The collection of the sessions: knows the questions of `MongoSessions` and no others."""

    def __init__(self, store: MemoryStore, link: Link, clock: Clock) -> None:
        self._sessions = store.sessions
        self._link = link
        self._clock = clock

    async def find_one_and_update(
        self, asked: Document, change: list[Document], _shown: Document, **_: object
    ) -> Document:
        """Renew a session and return the time."""
        fields = change[0]["$set"]

        async def renew() -> Document:
            now = self._clock.now_ms()
            expires_at = now + fields["expires_at"]["$add"][1]
            self._sessions[asked["_id"]] = StoredSession(expires_at, fields["projected_through"])
            return {"renewed_at": datetime.fromtimestamp(now / 1000, UTC)}

        return await self._link.ask(renew)

    async def update_one(self, asked: Document, change: list[Document]) -> None:
        """End a session."""
        fields = change[0]["$set"]

        async def end() -> None:
            if asked["_id"] in self._sessions:
                ended = StoredSession(self._clock.now_ms(), fields["projected_through"])
                self._sessions[asked["_id"]] = ended

        await self._link.ask(end)

    async def delete_one(self, asked: Document) -> None:
        """Remove a session that has expired."""

        async def delete() -> None:
            if asked["_id"] in self._expired():
                del self._sessions[asked["_id"]]

        await self._link.ask(delete)

    def find(self, asked: Document, _shown: Document | None = None, limit: int = 0) -> _Found:
        """Return the expired ones but one, or those of a list that are there."""

        async def read() -> list[dict[str, Any]]:
            if "$expr" in asked:
                names = [name for name in self._expired() if name != asked["_id"]["$ne"]][:limit]
            else:
                names = [name for name in asked["_id"]["$in"] if name in self._sessions]
            through = {name: self._sessions[name].projected_through for name in names}
            return [{"_id": name, "projected_through": through[name]} for name in names]

        return _Found(partial(self._link.ask, read))

    def _expired(self) -> list[str]:
        now = self._clock.now_ms()
        return [name for name, stored in self._sessions.items() if stored.expires_at < now]
