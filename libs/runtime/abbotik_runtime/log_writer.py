"""Writing the log: entries of different rooms that are pending together go out as one insert.

Group commit never lingers: a batch leaves as soon as none is in flight, and takes whatever is
pending by then; a second one leaves beside it once there is enough for it. Source of the rules
below: how MongoDB reports a bulk write.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from bson import encode
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from abbotik_contracts.room_log import LogEntry
from abbotik_kernel.retry import Backoff
from abbotik_runtime.log_reader import ROOM_LOG, RoomLogReader

log = structlog.get_logger(__name__)

MAX_ENTRY_BYTES = 8 * 1024 * 1024
_MAX_BATCH = 128
# One command takes 16 MiB; the last entry of a batch may pass this by its own size.
_MAX_BATCH_BYTES = 4 * 1024 * 1024
# A batch costs more than an entry: few entries wait for the one in flight. Many do not wait while
# that is synced to the disk.
_IN_FLIGHT = 2
_ENOUGH_FOR_A_SECOND = 16
_DUPLICATE_KEY = 11000
# Codes that blame the document itself: BadValue, FailedToParse, Overflow (too deep), InvalidBSON,
# validation, size, key.
_REFUSED = frozenset({2, 9, 15, 22, 121, 10334, 17280})
_UNAVAILABLE = "MongoDB did not confirm the entry"


@dataclass(frozen=True, slots=True)
class Committed:
    """The entry is in the log, majority-committed and journaled."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Another entry has this rev, or a key beside the first: read the room and decide again."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An earlier entry holds the first key, a command's id for example; its answer stands."""

    entry: LogEntry


Appended = Committed | Lost | Answered


class EntryRefusedError(Exception):
    """The entry passes MAX_ENTRY_BYTES, or MongoDB blames the document; it is not in the log."""


class UnknownOutcomeError(Exception):
    """MongoDB did not say whether the entry was written; it may be, now or later."""


@dataclass(slots=True, eq=False)
class _Pending:
    entry: LogEntry
    raw: RawBSONDocument
    done: asyncio.Future[Appended]


@dataclass(slots=True)
class _Verdict:
    """What one insert said: who is in, who met a duplicate, and of whom nothing is known."""

    committed: list[_Pending] = field(default_factory=list)
    doubled: list[_Pending] = field(default_factory=list)
    refused: list[tuple[_Pending, str]] = field(default_factory=list)
    unknown: list[_Pending] = field(default_factory=list)


class LogWriter:
    """Appends entries for one process.

    ``session`` is this process start; with the entry's ``counter`` it is the token by which an
    entry of ours is told from another's. ``give_up_s`` bounds how long an unknown outcome is
    asked about, in seconds.
    """

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], session: str, *, give_up_s: float = 10.0
    ) -> None:
        self.session = session
        # Asking for the loop is a system call each time.
        self._loop = asyncio.get_running_loop()
        self._database = database
        self._reader = RoomLogReader(database)
        self._give_up_s = give_up_s
        self._counter = itertools.count(1)
        self._pending: deque[_Pending] = deque()
        self._flushes: set[asyncio.Task[None]] = set()
        self._questions: set[asyncio.Task[None]] = set()
        self._backoff = Backoff(first=0.05, ceiling=1.0)

    def next_counter(self) -> int:
        """Return the counter for the next entry of this process, from 1."""
        return next(self._counter)

    async def append(self, entry: LogEntry) -> Appended:
        """Write one entry and say what became of it.

        The caller holds the room's lock. Raises EntryRefusedError where the entry itself is at
        fault, and UnknownOutcomeError when MongoDB gave no answer in time.
        """
        raw = encode(entry)
        if len(raw) > MAX_ENTRY_BYTES:
            raise EntryRefusedError(f"entry {entry['_id']} has {len(raw)} bytes")
        pending = _Pending(entry, RawBSONDocument(raw), self._loop.create_future())
        self._pending.append(pending)
        if len(self._pending) in (1, _ENOUGH_FOR_A_SECOND):
            # Not before the others whose turn it is in this round of the loop: they share the
            # insert. For any other number a flush is on its way, or comes with a free place.
            self._loop.call_soon(self._flush)
        return await pending.done

    def _flush(self) -> None:
        while self._pending and self._may_leave():
            batch = self._next_batch()
            task = self._loop.create_task(self._write(batch))
            self._flushes.add(task)
            task.add_done_callback(self._flushed)

    def _may_leave(self) -> bool:
        if not self._flushes:
            return True
        return len(self._flushes) < _IN_FLIGHT and len(self._pending) >= _ENOUGH_FOR_A_SECOND

    def _flushed(self, task: asyncio.Task[None]) -> None:
        self._flushes.discard(task)
        self._flush()

    def _next_batch(self) -> list[_Pending]:
        batch: list[_Pending] = []
        size = 0
        while self._pending and len(batch) < _MAX_BATCH and size < _MAX_BATCH_BYTES:
            pending = self._pending.popleft()
            size += len(pending.raw.raw)
            batch.append(pending)
        return batch

    async def _write(self, batch: list[_Pending]) -> None:
        """Insert the batch; whoever's outcome stays open is asked about apart from the others."""
        try:
            verdict = await self._insert(batch)
            self._settle(verdict)
        except Exception as error:  # noqa: BLE001  nobody may wait for a future that is forgotten
            _fail(batch, error)
            return
        if verdict.unknown:
            self._spawn(self._resolve_unknown(verdict.unknown))
        for pending in verdict.doubled:
            self._spawn(self._resolve_doubled(pending))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._questions.add(task)
        task.add_done_callback(self._questions.discard)

    async def _insert(self, batch: Sequence[_Pending]) -> _Verdict:
        # The command itself and not `insert_many`: it takes half the driver's time for a batch of
        # one, and the driver need not send a batch again, which is done here with the tokens known.
        try:
            reply = await self._database.command(
                {
                    "insert": ROOM_LOG,
                    "documents": [pending.raw for pending in batch],
                    "ordered": False,
                    "writeConcern": {"w": "majority", "j": True},
                }
            )
        except OperationFailure as error:
            if error.code in _REFUSED:
                return await self._insert_apart(batch, error)
            log.warning("log.insert_unknown", entries=len(batch), error=str(error.code))
            return _Verdict(unknown=list(batch))
        except PyMongoError as error:
            log.warning("log.insert_unknown", entries=len(batch), error=type(error).__name__)
            return _Verdict(unknown=list(batch))
        return _read_reply(batch, reply)

    async def _insert_apart(self, batch: Sequence[_Pending], error: OperationFailure) -> _Verdict:
        """Find out which document made MongoDB refuse to read any of them."""
        if len(batch) == 1:
            return _Verdict(refused=[(batch[0], f"MongoDB refused it with code {error.code}")])
        whole = _Verdict()
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            part = await self._insert(half)
            whole.committed += part.committed
            whole.doubled += part.doubled
            whole.refused += part.refused
            whole.unknown += part.unknown
        return whole

    def _settle(self, verdict: _Verdict) -> None:
        for pending in verdict.committed:
            _answer(pending, Committed())
        for pending, reason in verdict.refused:
            if not pending.done.done():
                pending.done.set_exception(EntryRefusedError(reason))

    async def _resolve_unknown(self, batch: list[_Pending]) -> None:
        """Send the same documents again until each has an answer, or the time is over."""
        deadline = self._loop.time() + self._give_up_s
        for attempt in itertools.count():
            await asyncio.sleep(self._backoff.delay(attempt))
            verdict = await self._insert(batch)
            self._settle(verdict)
            await asyncio.gather(*map(self._resolve_doubled, verdict.doubled))
            batch = verdict.unknown
            if not batch:
                return
            if self._loop.time() > deadline:
                _fail(batch, UnknownOutcomeError(_UNAVAILABLE))
                return

    async def _resolve_doubled(self, pending: _Pending) -> None:
        """Read the entry that was in the way: ours after all, a lost race, or an earlier answer."""
        entry = pending.entry
        scope = self._reader.of(entry["tenant"], entry["room"])
        try:
            rivals = await scope.rivals(entry["rev"], entry.get("keys", ()))
        except PyMongoError:
            _fail([pending], UnknownOutcomeError(_UNAVAILABLE))
            return
        _answer(pending, _sorted_out(entry, rivals))


def _read_reply(batch: Sequence[_Pending], reply: Mapping[str, Any]) -> _Verdict:
    """Sort a batch by what the server said.

    Only a pure list of write errors is an answer. A reply can report success *and* a write
    concern error; then nothing is known of the entries that it does not name.
    """
    verdict = _Verdict()
    named: dict[int, dict[str, Any]] = {e["index"]: e for e in reply.get("writeErrors", ())}
    open_outcome = "writeConcernError" in reply
    for index, pending in enumerate(batch):
        error = named.get(index)
        if error is None:
            (verdict.unknown if open_outcome else verdict.committed).append(pending)
        elif error["code"] == _DUPLICATE_KEY:
            (verdict.unknown if open_outcome else verdict.doubled).append(pending)
        elif error["code"] in _REFUSED:
            verdict.refused.append((pending, f"MongoDB refused it with code {error['code']}"))
        else:
            verdict.unknown.append(pending)
    return verdict


def _sorted_out(entry: LogEntry, rivals: Sequence[LogEntry]) -> Appended:
    if any(_same_token(rival, entry) for rival in rivals):
        return Committed()
    settles = entry.get("keys", [None])[0]
    earlier = next((rival for rival in rivals if settles in rival.get("keys", ())), None)
    return Lost() if earlier is None else Answered(earlier)


def _same_token(one: LogEntry, other: LogEntry) -> bool:
    return one["session"] == other["session"] and one["counter"] == other["counter"]


def _answer(pending: _Pending, answer: Appended) -> None:
    if not pending.done.done():
        pending.done.set_result(answer)


def _fail(batch: Sequence[_Pending], error: Exception) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_exception(error)
