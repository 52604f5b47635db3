"""Room workers and gateways that are broken on purpose: a function each, which breaks one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from abbotik_contracts.policies import Schedule
from abbotik_contracts.room_log import LogEntry, entry_id
from abbotik_gateway.handlers.following import log_events
from abbotik_gateway.handlers.following.room_feed import RoomFeed
from abbotik_kernel.clock import CorrectedClock
from abbotik_room_worker import sealing
from abbotik_room_worker.adapters import sessions
from abbotik_room_worker.adapters.sessions import MongoSessions
from abbotik_room_worker.adapters.signals import NatsSignals
from abbotik_room_worker.care import Care
from abbotik_room_worker.domain import takeover, ticks, wakes
from abbotik_room_worker.domain.draft import Draft
from abbotik_room_worker.domain.room import Lease, Turn
from abbotik_room_worker.domain.schedule import next_times
from abbotik_room_worker.performance import Performance
from abbotik_room_worker.ports import DeadSession, RoomKey
from abbotik_room_worker.progress import Progress
from abbotik_room_worker.runner import TurnRunner
from abbotik_room_worker.tenure import Tenure
from abbotik_room_worker.tool_calls import ToolCalls
from abbotik_runtime import log_writer, projector
from abbotik_runtime.log_writer import Appended, LogWriter, Lost
from abbotik_runtime.projector import Batch, Document, Projector
from tests.service.room_worker.broken_builds import keeps_no_deadline

Sabotage = Callable[[pytest.MonkeyPatch], None]


def take_the_next_rev(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a lost race put the entry in under the next rev, without deciding again."""
    append = LogWriter.append

    async def pushy(writer: LogWriter, entry: LogEntry) -> Appended:
        while isinstance(answer := await append(writer, entry), Lost):
            entry["rev"] += 1
            entry["_id"] = entry_id(entry["room"], entry["rev"])
        return answer

    monkeypatch.setattr(LogWriter, "append", pushy)


def believe_what_is_unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take an insert for committed that the store is not sure of."""
    read = log_writer._read_reply

    def trusting(batch: Any, reply: dict[str, Any]) -> Any:
        return read(batch, {k: v for k, v in reply.items() if k != "writeConcernError"})

    monkeypatch.setattr(log_writer, "_read_reply", trusting)


def claim_to_have_projected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say of all that was committed that it is projected."""
    monkeypatch.setattr(Progress, "through", property(lambda progress: progress._highest))


def project_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Owe no projection any more that the database did not take."""
    store = Projector._store

    async def careless(projector: Projector, batch: Batch) -> None:
        try:
            await store(projector, batch)
        except PyMongoError:
            for _, owed, _ in batch:
                owed.stored()

    monkeypatch.setattr(Projector, "_store", careless)


def project_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a projection over a newer one."""
    if_newer = projector._if_newer

    def blind(document: Document) -> Document:
        made = if_newer(document)
        made["u"][0]["$replaceWith"]["$cond"][0] = True
        return made

    monkeypatch.setattr(projector, "_if_newer", blind)


def leave_an_event_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit entries with one event missing."""
    chain = sealing._chain

    def forgetful(draft: Draft) -> Any:
        events, lines = chain(draft)
        return (events[:1] + events[2:], lines) if len(events) > 2 else (events, lines)

    monkeypatch.setattr(sealing, "_chain", forgetful)


def keep_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a turn over under the epoch of its former holder."""

    def take_over(draft: Draft, session: str) -> Turn:
        room = draft.room
        assert room.turn is not None
        room.lease = Lease(session, room.epoch)
        room.turn = room.turn._replace(recoveries=room.turn.recoveries + 1)
        return room.turn

    monkeypatch.setattr(takeover, "take_over", take_over)
    monkeypatch.setattr(ticks, "take_over", take_over)


def never_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose every trigger, and let nobody look for the rooms that wait for one."""
    monkeypatch.setattr(NatsSignals, "want_turn", _idle)
    monkeypatch.setattr(Care, "say_waiting", _idle)


def declare_nobody_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a killed worker keep its rooms."""

    async def trusting(_: MongoSessions, _holders: Any = ()) -> list[DeadSession]:
        return []

    monkeypatch.setattr(MongoSessions, "dead", trusting)


def believe_the_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide by the machine's time, whatever the database's is."""
    monkeypatch.setattr(CorrectedClock, "correct", lambda *_, **__: None)


def go_by_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whoever sets the machine's clock move the time, until the database tells it again."""
    monkeypatch.setattr(CorrectedClock, "passed_ms", lambda clock: clock._local.now_ms())


def begin_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the time from an answer that waited for a primary."""
    monkeypatch.setattr(sessions, "_SURE_S", math.inf)


def skip_an_occurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on with a schedule one occurrence too late."""

    def hasty(schedule: Schedule | None, after: int) -> tuple[int, ...]:
        return next_times(schedule, after)[1:]

    monkeypatch.setattr(wakes, "next_times", hasty)


def keep_no_occurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose every reminder, and let nobody look for what is due."""
    keeps_no_deadline(monkeypatch)
    monkeypatch.setattr(NatsSignals, "remind", _idle)


def mend_no_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a room alone that is due by its projection and not by its log."""

    async def keep(care: Care, key: RoomKey) -> None:
        await care._keeper.held(key, care._tick)

    monkeypatch.setattr(Care, "_keep_deadline", keep)


def leave_an_entry_out_of_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pages of the log that lack an entry."""
    encode = log_events.encode

    def forgetful(entries: Sequence[LogEntry], after: int) -> Any:
        return encode([*entries[:1], *entries[2:]], after)

    monkeypatch.setattr(log_events, "encode", forgetful)


def trust_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what the bus lost instead of reading it."""
    monkeypatch.setattr(RoomFeed, "read_soon", lambda _: None)


def leave_without_handing_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go with the turns that still run."""

    async def gone(*_: object) -> None:
        return

    monkeypatch.setattr(TurnRunner, "_hand_over", gone)


def interrupt_what_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """End turns because the process ends."""
    monkeypatch.setattr(Performance, "drop", lambda performance: performance.stop(hard=True))


def call_tools_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget, after a takeover, which tools the turn has called."""

    async def forget(_: ToolCalls) -> None:
        return

    monkeypatch.setattr(ToolCalls, "read_settled", forget)


def call_tools_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a turn for one's own still, however long one was out of touch."""

    async def trusting(*_: object) -> bool:
        return True

    monkeypatch.setattr(Tenure, "stands", trusting)


async def _idle(*_: object) -> None:
    return
