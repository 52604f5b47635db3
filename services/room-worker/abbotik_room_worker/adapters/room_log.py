"""The room log and its contents in MongoDB."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from pydantic import JsonValue
from pymongo.asynchronous.database import AsyncDatabase

from abbotik_contracts.large_content import whole
from abbotik_contracts.room_log import LogEntry, Record, StoredMessage
from abbotik_contracts.room_views import wire_events
from abbotik_room_worker.adapters.answering import answering
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.ports import RoomKey
from abbotik_runtime.blobs import Blobs
from abbotik_runtime.log_reader import Configured, RoomLogReader
from abbotik_runtime.log_writer import Appended, Committed, LogWriter
from abbotik_runtime.uncancelled import uncancelled

_PAGE = 500
# Contents of messages whose turn most likely runs here next; at most 64 KiB each.
_RECENT = 256


class MongoRoomLog:
    """Reads with majority, writes by group commit."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], session: str) -> None:
        self.session = session
        self._reader = RoomLogReader(database)
        self._writer = LogWriter(database, session)
        self._blobs = Blobs(database)
        self._recent: OrderedDict[str, str] = OrderedDict()

    def next_counter(self) -> int:
        """Return the counter of this process's next entry, from 1."""
        return self._writer.next_counter()

    async def load(self, key: RoomKey, known: Configured | None = None) -> Room | None:
        """Read a room from its newest entry."""
        with answering():
            found = await self._reader.of(*key).room(known)
        return None if found is None else Room.from_entry(*found)

    async def by_key(self, key: RoomKey, settled: str) -> LogEntry | None:
        """Return the entry that settled an id."""
        with answering():
            return await self._reader.of(*key).by_key(settled)

    async def config(self, key: RoomKey, rev: int) -> Record:
        """Return the configuration that came with an entry."""
        with answering():
            entry = await self._reader.of(*key).at(rev)
        if entry is None or "config" not in entry:
            raise LookupError(f"entry {rev} of room {key[1]} has no configuration")
        return entry["config"]

    async def append(self, entry: LogEntry) -> Appended:
        """Write one entry under its rev."""
        with answering():
            appended = await self._writer.append(entry)
        if isinstance(appended, Committed):
            self._remember(entry)
        return appended

    # A turn is stopped at any moment.
    @uncancelled
    async def events_of_turn(self, key: RoomKey, turn_id: str, first_seq: int) -> list[Record]:
        """Return the events of a turn that the log holds, in order."""
        scope = self._reader.of(*key)
        found: list[Record] = []
        after = first_seq - 1
        while True:
            with answering():
                page = await scope.events_after(after, _PAGE)
            for entry in page:
                found += [event for event in wire_events(entry) if event["turn_id"] == turn_id]
            if len(page) < _PAGE:
                return found
            after = page[-1]["last_event_seq"]

    async def content(self, key: RoomKey, message_id: str) -> str:
        """Return the text of a message; of one that was queued here it is at hand."""
        known = self._recent.pop(message_id, None)
        if known is not None:
            return known
        return await self._stored_content(key, message_id)

    @uncancelled
    async def _stored_content(self, key: RoomKey, message_id: str) -> str:
        with answering():
            entry = await self._reader.of(*key).by_key(message_id)
            if entry is None:
                raise LookupError(f"message {message_id} is not in the log of room {key[1]}")
            message = next(m for m in entry["messages"] if m["id"] == message_id)
            return await self._whole(key, message)

    def _remember(self, entry: LogEntry) -> None:
        for message in entry.get("messages", ()):
            if message["author"] == "user" and message["blob"] is None:
                self._recent[message["id"]] = _text(message["content"])
                if len(self._recent) > _RECENT:
                    self._recent.popitem(last=False)

    async def _whole(self, key: RoomKey, message: StoredMessage) -> str:
        digest = message["blob"]
        if digest is None:
            return _text(message["content"])
        data = await self._blobs.get(key[0], digest)
        if data is None:
            raise LookupError(f"content {digest} of message {message['id']} is not stored")
        return _text(whole(message["content"], data))


class MongoContents:
    """Texts that are too large for an entry, in GridFS."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._blobs = Blobs(database)

    async def put(self, tenant: str, data: bytes) -> str:
        """Store them and return their SHA-256 in hex."""
        with answering():
            return await self._blobs.put(tenant, data)

    async def get(self, tenant: str, digest: str) -> bytes | None:
        """Return them, or None where the tenant has none of that digest."""
        with answering():
            return await self._blobs.get(tenant, digest)


def _text(content: JsonValue) -> str:
    if isinstance(content, list):
        return "\n".join(str(block["text"]) for block in content if isinstance(block, dict))
    return str(content)
