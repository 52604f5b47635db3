"""The simulation finds a product that was broken on purpose: each sabotage is red."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest

from abbotik_contracts.policies import Schedule
from abbotik_contracts.room_log import LogEntry, entry_id
from abbotik_gateway.handlers.following import log_events
from abbotik_gateway.handlers.following.room_feed import RoomFeed
from abbotik_kernel.clock import CorrectedClock
from abbotik_room_worker import sealing
from abbotik_room_worker.adapters.sessions import MongoSessions
from abbotik_room_worker.adapters.signals import NatsSignals
from abbotik_room_worker.care import Care
from abbotik_room_worker.domain import takeover, ticks, wakes
from abbotik_room_worker.domain.draft import Draft
from abbotik_room_worker.domain.room import Lease, Turn
from abbotik_room_worker.domain.schedule import next_times
from abbotik_room_worker.performance import Performance
from abbotik_room_worker.ports import DeadSession
from abbotik_room_worker.runner import TurnRunner
from abbotik_room_worker.tenure import Tenure
from abbotik_room_worker.tool_calls import ToolCalls
from abbotik_runtime import log_writer
from abbotik_runtime.log_writer import Appended, LogWriter, Lost
from tests.service.room_worker.broken_builds import forgets_refusals
from tests.simulation.life import chance, live
from tests.simulation.network import FAIR
from tests.simulation.scenario import Fate, dies, live_up_to, stands_still
from tests.simulation.test_leaving import everybody_leaves

SEEDS = 80

Sabotage = Callable[[pytest.MonkeyPatch], None]


def _take_the_next_rev(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a lost race put the entry in under the next rev, without deciding again."""
    append = LogWriter.append

    async def pushy(writer: LogWriter, entry: LogEntry) -> Appended:
        while isinstance(answer := await append(writer, entry), Lost):
            entry["rev"] += 1
            entry["_id"] = entry_id(entry["room"], entry["rev"])
        return answer

    monkeypatch.setattr(LogWriter, "append", pushy)


def _believe_what_is_unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take an insert for committed that the store is not sure of."""
    read = log_writer._read_reply

    def trusting(batch: Any, reply: dict[str, Any]) -> Any:
        return read(batch, {k: v for k, v in reply.items() if k != "writeConcernError"})

    monkeypatch.setattr(log_writer, "_read_reply", trusting)


def _leave_an_event_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit entries with one event missing."""
    chain = sealing._chain

    def forgetful(draft: Draft) -> Any:
        events, lines = chain(draft)
        return (events[:1] + events[2:], lines) if len(events) > 2 else (events, lines)

    monkeypatch.setattr(sealing, "_chain", forgetful)


def _keep_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a turn over under the epoch of its former holder."""

    def take_over(draft: Draft, session: str) -> Turn:
        room = draft.room
        assert room.turn is not None
        room.lease = Lease(session, room.epoch)
        room.turn = replace(room.turn, recoveries=room.turn.recoveries + 1)
        return room.turn

    monkeypatch.setattr(takeover, "take_over", take_over)
    monkeypatch.setattr(ticks, "take_over", take_over)


def _never_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose every trigger, and let nobody look for the rooms that wait for one."""

    async def idle(*_: object) -> None:
        return

    monkeypatch.setattr(NatsSignals, "want_turn", idle)
    monkeypatch.setattr(Care, "say_waiting", idle)


def _declare_nobody_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a killed worker keep its rooms."""

    async def trusting(_: MongoSessions, _holders: Any = ()) -> list[DeadSession]:
        return []

    monkeypatch.setattr(MongoSessions, "dead", trusting)


def _believe_the_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide by the machine's time, whatever the database's is."""
    monkeypatch.setattr(CorrectedClock, "correct", lambda *_, **__: None)


def _skip_an_occurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on with a schedule one occurrence too late."""

    def hasty(schedule: Schedule | None, after: int) -> tuple[int, ...]:
        return next_times(schedule, after)[1:]

    monkeypatch.setattr(wakes, "next_times", hasty)


def _keep_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose every reminder, and let nobody look for what is due."""

    async def idle(*_: object) -> None:
        return

    monkeypatch.setattr(NatsSignals, "remind", idle)
    monkeypatch.setattr(Care, "keep_deadlines", idle)


def _leave_an_entry_out_of_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pages of the log that lack an entry."""
    encode = log_events.encode

    def forgetful(entries: Sequence[LogEntry], after: int) -> Any:
        return encode([*entries[:1], *entries[2:]], after)

    monkeypatch.setattr(log_events, "encode", forgetful)


def _trust_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what the bus lost instead of reading it."""
    monkeypatch.setattr(RoomFeed, "read_soon", lambda _: None)


def _leave_without_handing_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go with the turns that still run."""

    async def gone(*_: object) -> None:
        return

    monkeypatch.setattr(TurnRunner, "_hand_over", gone)


def _interrupt_what_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """End turns because the process ends."""
    monkeypatch.setattr(Performance, "drop", lambda performance: performance.stop(hard=True))


def _call_tools_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget, after a takeover, which tools the turn has called."""

    async def forget(_: ToolCalls) -> None:
        return

    monkeypatch.setattr(ToolCalls, "read_settled", forget)


def _call_tools_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a turn for one's own still, however long one was out of touch."""

    async def trusting(*_: object) -> bool:
        return True

    monkeypatch.setattr(Tenure, "stands", trusting)


def _lives(random: Random) -> None:
    for seed in range(SEEDS):
        live(random, seed)


def _leavings(random: Random) -> None:
    for seed in range(SEEDS):
        live(random, seed, everybody_leaves, FAIR)


def _steps(random: Random, fate: Fate) -> None:
    for step in itertools.count(1):
        if not live_up_to(random, 0, fate, step):
            return


_deaths = partial(_steps, fate=dies)
_standstills = partial(_steps, fate=stands_still)


@pytest.mark.parametrize(
    ("sabotage", "simulate"),
    [
        (_take_the_next_rev, _lives),
        (_believe_what_is_unsettled, _lives),
        (_leave_an_event_out, _lives),
        (_keep_the_epoch, _lives),
        (forgets_refusals, _lives),
        (_never_sweep, _lives),
        (_declare_nobody_dead, _lives),
        (_believe_the_own_clock, _lives),
        (_skip_an_occurrence, _lives),
        (_keep_no_deadline, _lives),
        (_leave_an_entry_out_of_replay, _lives),
        (_trust_the_bus, _lives),
        (_leave_without_handing_over, _leavings),
        (_interrupt_what_still_runs, _leavings),
        (_call_tools_again, _deaths),
        (_call_tools_without_looking, _standstills),
    ],
)
def test_sabotage_is_found(
    monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage, simulate: Callable[[Random], None]
) -> None:
    """Some life of the first ones breaks a promise."""
    random = chance(monkeypatch)
    sabotage(monkeypatch)
    with pytest.raises(AssertionError, match="seed"):
        simulate(random)
