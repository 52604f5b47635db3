"""The room log and its contents in memory, with the weather that a test asks for."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from hashlib import sha256
from typing import Any, Literal, cast

from bson import decode, encode
from pydantic import JsonValue

from abbotik_contracts.large_content import whole
from abbotik_contracts.room_log import LogEntry, Record, StoredMessage
from abbotik_contracts.room_views import wire_events
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.ports import RoomKey, UnavailableError
from abbotik_runtime.log_reader import Configured
from abbotik_runtime.log_writer import Answered, Appended, Committed, Lost
from tests.fakes.room_worker.store import MemoryStore

Weather = Literal["fair", "unwritten", "unheard"]
"""What becomes of an append: as it should be, lost on the way there, or on the way back."""


class FakeRoomLog:
    """The unique keys of the real log, and its answers.

    ``weather`` is used up by one append each. ``gate`` is waited for before an append is carried
    out, ``reply`` afterwards, so that a test can look at what happens meanwhile. ``away`` makes
    every call fail,
    ``broken`` makes it raise, ``refusing`` only an append.
    """

    def __init__(self, store: MemoryStore, session: str) -> None:
        self.session = session
        self.weather: deque[Weather] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_gate = asyncio.Event()
        self.reply = asyncio.Event()
        self.reply.set()
        self.at_reply = asyncio.Event()
        self.away = False
        self.broken: Exception | None = None
        self.refusing: Exception | None = None
        self._store = store
        self._counter = itertools.count(1)

    def next_counter(self) -> int:
        """Return the counter of this process's next entry, from 1."""
        return next(self._counter)

    async def load(self, key: RoomKey, _known: Configured | None = None) -> Room | None:
        """Read a room from its newest entry."""
        await self._answer()
        log = self._store.log_of(*key)
        if not log:
            return None
        newest = _stored(log[-1])
        changed = self._entry(key, newest["state"]["config_rev"])
        return Room.from_entry(newest, _stored(changed)["config"])

    async def by_key(self, key: RoomKey, settled: str) -> LogEntry | None:
        """Return the entry that settled an id."""
        await self._answer()
        found = self._settled(key, settled)
        return None if found is None else _stored(found)

    async def config(self, key: RoomKey, rev: int) -> Record:
        """Return the configuration that came with an entry."""
        await self._answer()
        return _stored(self._entry(key, rev))["config"]

    async def append(self, entry: LogEntry) -> Appended:
        """Write one entry under its rev, if the weather lets it."""
        raw = _stored(entry)
        self.at_gate.set()
        await self.gate.wait()
        await self._answer()
        if self.refusing is not None:
            raise self.refusing
        weather = self.weather.popleft() if self.weather else "fair"
        if weather == "unwritten":
            raise UnavailableError("the entry was not written")
        appended = self._append(raw)
        self.at_reply.set()
        await self.reply.wait()
        if weather == "unheard":
            raise UnavailableError("nobody heard what became of the entry")
        return appended

    async def events_of_turn(self, key: RoomKey, turn_id: str, first_seq: int) -> list[Record]:
        """Return the events of a turn that the log holds, in order."""
        await self._answer()
        return [
            event
            for entry in self._store.log_of(*key)
            if entry["last_event_seq"] >= first_seq
            for event in wire_events(_stored(entry))
            if event["turn_id"] == turn_id
        ]

    async def content(self, key: RoomKey, message_id: str) -> str:
        """Return the text of a message, wherever it is stored."""
        await self._answer()
        entry = self._settled(key, message_id)
        if entry is None:
            raise LookupError(f"message {message_id} is not in the log of room {key[1]}")
        message: StoredMessage = next(m for m in entry["messages"] if m["id"] == message_id)
        if message["blob"] is not None:
            return _text(whole(message["content"], self._store.blobs[key[0], message["blob"]]))
        return _text(message["content"])

    async def _answer(self) -> None:
        # Every call of a real store lets others run (a simulated one is run through at once).
        await asyncio.sleep(0)
        if self.broken is not None:
            raise self.broken
        if self.away:
            raise UnavailableError("the store is away")

    def _entry(self, key: RoomKey, rev: int) -> LogEntry:
        for entry in self._store.log_of(*key):
            if entry["rev"] == rev and "config" in entry:
                return entry
        raise LookupError(f"entry {rev} of room {key[1]} has no configuration")

    def _settled(self, key: RoomKey, settled: str) -> LogEntry | None:
        return next((e for e in self._store.log_of(*key) if settled in e.get("keys", ())), None)

    def _append(self, entry: LogEntry) -> Appended:
        there = self._store.entries.get(entry["_id"])
        if there is not None and _token(there) == _token(entry):
            return Committed()
        key = (entry["tenant"], entry["room"])
        for place, settled in enumerate(entry.get("keys", ())):
            earlier = self._settled(key, settled)
            if earlier is not None:
                return Lost() if place else Answered(_stored(earlier))
        if there is not None:
            return Lost()
        self._store.entries[entry["_id"]] = entry
        return Committed()


class FakeContents:
    """Texts that are too large for an entry, in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.away = False

    async def put(self, tenant: str, data: bytes) -> str:
        """Store them and return their SHA-256 in hex."""
        self._answer()
        digest = sha256(data).hexdigest()
        self._store.blobs[tenant, digest] = data
        return digest

    async def get(self, tenant: str, digest: str) -> bytes | None:
        """Return them, or None where the tenant has none of that digest."""
        self._answer()
        return self._store.blobs.get((tenant, digest))

    def _answer(self) -> None:
        if self.away:
            raise UnavailableError("the store is away")


def _stored(entry: LogEntry) -> LogEntry:
    """Return what a database would give back: equal, and nothing of it shared."""
    return cast("LogEntry", decode(encode(cast("dict[str, Any]", entry))))


def _token(entry: LogEntry) -> tuple[str, int]:
    return entry["session"], entry["counter"]


def _text(content: JsonValue) -> str:
    if isinstance(content, list):
        return "\n".join(str(block["text"]) for block in content if isinstance(block, dict))
    return str(content)
