"""Reading one room: itself, its messages, its turns. Every read is the log's, never a copy's."""

from __future__ import annotations

from dataclasses import dataclass

from abbotik_contracts.room_log import LogEntry, Record, StoredTurn
from abbotik_contracts.room_views import room_record, running_turn, turn_record
from abbotik_gateway.domain.history import MAX_BYTES, Sized, Window, fitting, sized
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.contents import Found, found_in, shown
from abbotik_gateway.handlers.seen import SeenRevs
from abbotik_gateway.ports import Contents, RoomLog, RoomScope
from abbotik_runtime.ids import is_uuid

# Entries that one query may bring: 64 contents of 64 KiB are 4 MiB, what an answer may hold.
CHUNK = 64
# Messages whose turns one query may bring; a turn is small.
_TURNS = 500


@dataclass(frozen=True, slots=True)
class Rows:
    """Records in the order of their seq. ``last`` is the seq behind which the list goes on."""

    records: list[Record]
    last: int
    more: bool


def known_id(text: str, code: str) -> str:
    """Return the id of a path; the 404 of ``code`` for a malformed one, which nothing has."""
    if not is_uuid(text):
        raise Problem(code)
    return text


class Reading:
    """Reads rooms of one tenant at a time. Raises Problem …_NOT_FOUND, and UnavailableError."""

    def __init__(self, log: RoomLog, contents: Contents, seen: SeenRevs) -> None:
        self._log = log
        self._contents = contents
        self._seen = seen

    async def room(self, tenant: str, room: str) -> Record:
        """Return the room as the API shows it."""
        newest, config = await self.newest_with_config(tenant, room)
        return room_record(tenant, room, newest["state"], config)

    async def newest_with_config(self, tenant: str, room: str) -> tuple[LogEntry, Record]:
        """Return the room's newest entry and the configuration that holds with it."""
        scope, configs = self._scope(tenant, room), list[Record]()

        async def read() -> LogEntry | None:
            found = await scope.room()
            configs[:] = [] if found is None else [found[1]]
            return None if found is None else found[0]

        newest = await self._seen.newest(tenant, room, read)
        if newest is None:
            raise Problem("ROOM_NOT_FOUND")
        return newest, configs[0]

    async def newest(self, tenant: str, room: str) -> LogEntry:
        """Return the room's newest entry."""
        entry = await self._seen.newest(tenant, room, self._scope(tenant, room).last)
        if entry is None:
            raise Problem("ROOM_NOT_FOUND")
        return entry

    async def messages(self, tenant: str, room: str, after: int, limit: int) -> Rows:
        """Return messages behind ``after``, as many as fit into one answer."""
        newest = await self.newest(tenant, room)
        last = newest["state"]["last_message_seq"]
        asked = Window(after, last + 1, limit, forward=True)
        rows = fitting(
            await self.messages_in(tenant, newest, asked, MAX_BYTES), MAX_BYTES, forward=True
        )
        end = after + len(rows)
        return Rows([row.record for row in rows], end, more=end < last)

    async def messages_in(
        self, tenant: str, newest: LogEntry, asked: Window, budget: int
    ) -> list[Sized]:
        """Return messages of a window, in order; at least ``budget`` bytes of them if there are."""
        room, wanted = newest["room"], asked.wanted
        scope = self._scope(tenant, room)
        chunks: list[list[Sized]] = []
        while wanted and budget > 0:
            part = wanted[:CHUNK] if asked.forward else wanted[-CHUNK:]
            wanted = wanted[len(part) :] if asked.forward else wanted[: -len(part)]
            chunk = await self._messages(scope, tenant, newest, part)
            budget -= sum(row.size for row in chunk)
            chunks.append(chunk)
        return [row for chunk in (chunks if asked.forward else reversed(chunks)) for row in chunk]

    async def _messages(
        self, scope: RoomScope, tenant: str, newest: LogEntry, part: range
    ) -> list[Sized]:
        found: list[Found] = []
        after = part[0] - 1
        while after < part[-1]:
            entries = await scope.messages_after(after, part[-1] - after)
            if not entries:
                break
            found += found_in(entries, part)
            after = entries[-1]["last_message_seq"]
        turns = await _turns(scope, newest, part[0], part[-1])
        records = await shown(self._contents, tenant, newest["room"], found, newest["state"], turns)
        return [sized(record) for record in records]

    async def message(self, tenant: str, room: str, message_id: str) -> Record:
        """Return one message."""
        newest = await self.newest(tenant, room)
        scope = self._scope(tenant, room)
        settled = await scope.by_key(known_id(message_id, "MESSAGE_NOT_FOUND"))
        found = [
            Found(message, entry["at"])
            for entry in (settled,)
            if entry is not None
            for message in entry.get("messages", ())
            if message["id"] == message_id
        ]
        if not found:
            raise Problem("MESSAGE_NOT_FOUND")
        seq = found[0].message["seq"]
        turns = await _turns(scope, newest, seq, seq)
        records = await shown(self._contents, tenant, room, found, newest["state"], turns)
        return records[0]

    async def turns(self, tenant: str, room: str, after: int, limit: int) -> Rows:
        """Return turns in the order of their messages, those behind message seq ``after``."""
        newest = await self.newest(tenant, room)
        last = newest["state"]["last_message_seq"]
        scope, found = self._scope(tenant, room), list[StoredTurn]()
        while after < last and len(found) <= limit:
            part = await _turns(scope, newest, after + 1, after + _TURNS)
            found += [part[seq] for seq in sorted(part)]
            after += _TURNS
        rows = fitting(
            [sized(turn_record(room, turn)) for turn in found[:limit]], MAX_BYTES, forward=True
        )
        records = [row.record for row in rows]
        end = found[len(rows) - 1]["message_seq"] if rows else after
        return Rows(records, end, more=len(found) > len(rows))

    async def turn(self, tenant: str, room: str, turn_id: str) -> Record:
        """Return one turn as it is now."""
        await self.newest(tenant, room)
        scope = self._scope(tenant, room)
        entry = await scope.by_key(known_id(turn_id, "TURN_NOT_FOUND"))
        begun = None if entry is None else running_turn(entry["state"])
        if begun is None or begun["id"] != turn_id:
            raise Problem("TURN_NOT_FOUND")
        seq = begun["message_seq"]
        return turn_record(room, (await scope.ended_turns(seq, seq)).get(seq, begun))

    def _scope(self, tenant: str, room: str) -> RoomScope:
        return self._log.of(tenant, known_id(room, "ROOM_NOT_FOUND"))


async def _turns(
    scope: RoomScope, newest: LogEntry, first: int, last: int
) -> dict[int, StoredTurn]:
    """Return the turns of the messages with seq ``first`` to ``last``, each as it is now."""
    running = running_turn(newest["state"])
    begun = {} if running is None else {running["message_seq"]: running}
    turns = {seq: turn for seq, turn in begun.items() if first <= seq <= last}
    # It may have ended since.
    return turns | await scope.ended_turns(first, last)
