"""The simulation finds a product that was broken on purpose: each sabotage is red."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from abbotik_contracts.room_log import LogEntry, entry_id
from abbotik_room_worker import keeper, sealing
from abbotik_room_worker.care import Care
from abbotik_room_worker.domain import decide as decisions
from abbotik_room_worker.domain import takeover, ticks
from abbotik_room_worker.domain.draft import Draft, Refusal
from abbotik_room_worker.domain.room import Lease, Turn
from abbotik_room_worker.ports import DeadSession
from abbotik_runtime.log_writer import Appended, Lost
from tests.fakes.room_worker.room_log import FakeRoomLog
from tests.simulation.life import chance, live
from tests.simulation.ports import SimSessions, SimSignals

SEEDS = 80

Sabotage = Callable[[pytest.MonkeyPatch], None]


def _take_the_next_rev(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a lost race put the entry in under the next rev, without deciding again."""
    append = FakeRoomLog._append

    def pushy(log: FakeRoomLog, entry: LogEntry) -> Appended:
        while isinstance(answer := append(log, entry), Lost):
            entry["rev"] += 1
            entry["_id"] = entry_id(entry["room"], entry["rev"])
        return answer

    monkeypatch.setattr(FakeRoomLog, "_append", pushy)


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


def _forget_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell a refusal and do not commit it, so that a redelivery may be answered otherwise."""
    decide = decisions.decide

    def careless(*args: Any) -> Any:
        decision = decide(*args)
        return replace(decision, lasting=True) if isinstance(decision, Refusal) else decision

    monkeypatch.setattr(keeper, "decide", careless)


def _never_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose every trigger, and let nobody look for the rooms that wait for one."""

    async def idle(*_: object) -> None:
        return

    monkeypatch.setattr(SimSignals, "want_turn", idle)
    monkeypatch.setattr(Care, "say_waiting", idle)


def _declare_nobody_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a killed worker keep its rooms."""

    async def trusting(_: SimSessions, _holders: Any = ()) -> list[DeadSession]:
        return []

    monkeypatch.setattr(SimSessions, "dead", trusting)


@pytest.mark.parametrize(
    "sabotage",
    [
        _take_the_next_rev,
        _leave_an_event_out,
        _keep_the_epoch,
        _forget_refusals,
        _never_sweep,
        _declare_nobody_dead,
    ],
)
def test_sabotage_is_found(monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage) -> None:
    """Some life of the first ones breaks a promise."""
    random = chance(monkeypatch)
    sabotage(monkeypatch)
    with pytest.raises(AssertionError, match="seed"):
        _live_all(random)


def _live_all(random: Random) -> None:
    for seed in range(SEEDS):
        live(random, seed)
