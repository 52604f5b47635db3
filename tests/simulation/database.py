"""MongoDB as the driver shows it, in memory: as much of it as the log and the sessions ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from bson import decode
from bson.raw_bson import RawBSONDocument
from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, OperationFailure

from abbotik_contracts.room_log import LogEntry
from abbotik_kernel.clock import Clock
from tests.fakes.room_worker.store import MemoryStore, StoredSession
from tests.simulation.network import Machine

Document = Mapping[str, Any]
_DUPLICATE = {"code": 11000, "errmsg": "E11000 duplicate key"}
_INTERRUPTED = {"code": 11602, "errmsg": "interrupted: the replica set changed its primary"}
_NOT_SURE = {"code": 64, "errmsg": "waiting for replication timed out"}
_NOT_PRIMARY = 10107
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda value, bound: value is not None and value > bound,
    "$gte": lambda value, bound: value is not None and value >= bound,
    "$lt": lambda value, bound: value is not None and value < bound,
    "$exists": lambda value, there: (value is not None) is there,
}


class StoredLog:
    """The log that all processes share, with its unique keys; ``store.entries`` shows the same."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._rooms: dict[tuple[str, str], dict[str, RawBSONDocument]] = {}
        self._keys: set[tuple[str, str, str]] = set()

    def insert(self, raw: RawBSONDocument) -> bool:
        """Put an entry in; no where one of its unique keys is taken."""
        entry = cast("LogEntry", decode(raw.raw))
        keys = {(entry["tenant"], entry["room"], key) for key in entry.get("keys", ())}
        if entry["_id"] in self._store.entries or keys & self._keys:
            return False
        self._keys |= keys
        self._store.entries[entry["_id"]] = entry
        self._rooms.setdefault((entry["tenant"], entry["room"]), {})[entry["_id"]] = raw
        return True

    def find(self, asked: Document, *, newest: bool, limit: int) -> list[dict[str, Any]]:
        """Return what matches, in the order of revs, as new documents."""
        rest = {name: want for name, want in asked.items() if name not in ("tenant", "room")}
        if "$or" in rest:
            asked = rest["$or"][0]
        ids: Iterable[str] = self._rooms.get((asked["tenant"], asked["room"]), {})
        found: list[dict[str, Any]] = []
        for id_ in sorted(ids, reverse=newest):
            if _matches(cast("Document", self._store.entries[id_]), rest):
                found.append(dict(decode(self._rooms[asked["tenant"], asked["room"]][id_].raw)))
                if len(found) == limit:
                    break
        return found


class SimDatabase:
    """One process's driver. Every call goes through its machine's network."""

    def __init__(self, log: StoredLog, store: MemoryStore, machine: Machine, clock: Clock) -> None:
        self._log = log
        self._machine = machine
        self._workers = _Workers(store, machine, clock)

    def seen_as(self) -> AsyncDatabase[dict[str, Any]]:
        """Return it as what the product takes it for."""
        return cast("AsyncDatabase[dict[str, Any]]", self)

    def get_collection(self, _name: str, **_concerns: object) -> _Entries:
        """Return the log's entries."""
        return _Entries(self._log, self._machine)

    def __getitem__(self, name: str) -> _Workers:
        assert name == "workers"
        return self._workers

    async def command(self, command: Document) -> Document:
        """Insert, unordered. Fails as a real one: whole, for some entries, or without knowing."""
        return await self._machine.call(partial(self._insert, command["documents"]), _away)

    async def _insert(self, documents: Sequence[RawBSONDocument]) -> Document:
        weather, random = self._machine.weather, self._machine.random
        if random.random() < weather.unsettled:
            return self._unsettled(documents)
        if random.random() < weather.interrupted:
            raise OperationFailure("not primary", _NOT_PRIMARY)
        errors: list[Document] = []
        for index, document in enumerate(documents):
            if random.random() < weather.interrupted:
                errors.append({"index": index, **_INTERRUPTED})
            elif not self._log.insert(document):
                errors.append({"index": index, **_DUPLICATE})
        return {"ok": 1, "n": len(documents) - len(errors), "writeErrors": errors}

    def _unsettled(self, documents: Sequence[RawBSONDocument]) -> Document:
        """Report success and a write concern error: what it says may be rolled back."""
        random, loop = self._machine.random, asyncio.get_running_loop()
        errors: list[Document] = []
        for index, document in enumerate(documents):
            fate = random.choice(("kept", "late", "rolled back", "met one that was rolled back"))
            if fate == "kept" and not self._log.insert(document):
                errors.append({"index": index, **_DUPLICATE})
            elif fate == "late":
                late_s = random.uniform(0, self._machine.weather.late_s)
                loop.call_later(late_s, self._log.insert, document)
            elif fate == "met one that was rolled back":
                errors.append({"index": index, **_DUPLICATE})
        report: dict[str, Any] = {"ok": 1, "n": len(documents), "writeConcernError": _NOT_SURE}
        return {**report, "writeErrors": errors} if errors else report


class _Entries:
    """The collection of the log: majority reads."""

    def __init__(self, log: StoredLog, machine: Machine) -> None:
        self._log = log
        self._machine = machine

    async def find_one(
        self, asked: Document, sort: list[tuple[str, int]] | None = None
    ) -> dict[str, Any] | None:
        """Return the first one in that order."""
        found = await self.find(asked, sort, 1).to_list(1)
        return found[0] if found else None

    def find(
        self, asked: Document, sort: list[tuple[str, int]] | None = None, limit: int = 0
    ) -> _Found:
        """Return a cursor."""
        newest = bool(sort) and sort is not None and sort[0][1] == DESCENDING

        async def read() -> list[dict[str, Any]]:
            return self._log.find(asked, newest=newest, limit=limit)

        return _Found(partial(self._machine.call, read, _away))


class _Found:
    """A cursor that asks once."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask

    async def to_list(self, _length: int) -> list[dict[str, Any]]:
        """Return all."""
        return cast("list[dict[str, Any]]", await self._ask())

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        for found in await self._ask():
            yield found


class _Workers:
    """The collection of the sessions: knows the questions of `MongoSessions` and no others."""

    def __init__(self, store: MemoryStore, machine: Machine, clock: Clock) -> None:
        self._sessions = store.sessions
        self._machine = machine
        self._clock = clock

    async def find_one_and_update(
        self, asked: Document, update: list[Document], _shown: Document, **_: object
    ) -> Document:
        """Renew a session and return the time."""
        fields = update[0]["$set"]

        async def renew() -> Document:
            now = self._clock.now_ms()
            expires_at = now + fields["expires_at"]["$add"][1]
            self._sessions[asked["_id"]] = StoredSession(expires_at, fields["projected_through"])
            return {"renewed_at": datetime.fromtimestamp(now / 1000, UTC)}

        return await self._machine.call(renew, _away)

    async def update_one(self, asked: Document, update: list[Document]) -> None:
        """End a session."""
        fields = update[0]["$set"]

        async def end() -> None:
            if asked["_id"] in self._sessions:
                ended = StoredSession(self._clock.now_ms(), fields["projected_through"])
                self._sessions[asked["_id"]] = ended

        await self._machine.call(end, _away)

    async def delete_one(self, asked: Document) -> None:
        """Remove a session that has expired."""

        async def delete() -> None:
            if asked["_id"] in self._expired():
                del self._sessions[asked["_id"]]

        await self._machine.call(delete, _away)

    def find(self, asked: Document, _shown: Document | None = None, limit: int = 0) -> _Found:
        """Return the expired ones but one, or those of a list that are there."""

        async def read() -> list[dict[str, Any]]:
            if "$expr" in asked:
                names = [name for name in self._expired() if name != asked["_id"]["$ne"]][:limit]
            else:
                names = [name for name in asked["_id"]["$in"] if name in self._sessions]
            through = {name: self._sessions[name].projected_through for name in names}
            return [{"_id": name, "projected_through": through[name]} for name in names]

        return _Found(partial(self._machine.call, read, _away))

    def _expired(self) -> list[str]:
        now = self._clock.now_ms()
        return [name for name, stored in self._sessions.items() if stored.expires_at < now]


def _away(text: str) -> Exception:
    return AutoReconnect(text)


def _matches(document: Document, asked: Document) -> bool:
    return all(_holds(document, name, want) for name, want in asked.items())


def _holds(document: Document, name: str, want: Any) -> bool:
    if name == "$or":
        return any(_matches(document, one) for one in want)
    value = document.get(name)
    if isinstance(want, Mapping):
        return all(_COMPARE[how](value, bound) for how, bound in want.items())
    return bool(want in value if isinstance(value, list) else value == want)
