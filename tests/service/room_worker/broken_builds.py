"""Room workers without one of their fixes: a function each, which takes it out.

Tests take it out of what they run themselves; `tests.faults.sabotage.room_worker` of a process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from abbotik_kernel.outcome import Outcome, Retry
from abbotik_room_worker import app, handlers, keeper
from abbotik_room_worker.adapters.sessions import MongoSessions
from abbotik_room_worker.adapters.sweeps import MongoSweeps
from abbotik_room_worker.care import Care
from abbotik_room_worker.commits import Applied
from abbotik_room_worker.domain import decide as decisions
from abbotik_room_worker.domain.draft import Refusal
from abbotik_room_worker.handlers import WaitingRooms
from abbotik_room_worker.ports import RoomKey, UnavailableError
from abbotik_room_worker.runner import TurnRunner
from abbotik_runtime.log_writer import Committed
from tests.fakes.room_worker.exceptions import FakeExceptions
from tests.fakes.room_worker.room_log import FakeRoomLog
from tests.fakes.room_worker.store import MemoryStore
from tests.fakes.room_worker.sweeps import FakeSweeps

Build = Callable[[pytest.MonkeyPatch], None]


def forgets_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell a refusal and do not commit it."""
    decide = decisions.decide

    def careless(*args: Any) -> Any:
        decision = decide(*args)
        return replace(decision, lasting=True) if isinstance(decision, Refusal) else decision

    monkeypatch.setattr(keeper, "decide", careless)


def answers_what_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take an insert that nobody confirmed for a commit."""
    append = FakeRoomLog.append

    async def hopeful(log: FakeRoomLog, entry: Any) -> Any:
        try:
            return await append(log, entry)
        except UnavailableError:
            return Committed()

    monkeypatch.setattr(FakeRoomLog, "append", hopeful)


def looks_for_projected_rooms_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take over what the projection says that the dead held, and not what their log says."""
    for sweeps in (FakeSweeps, MongoSweeps):
        monkeypatch.setattr(sweeps, "written_by", _nothing)


def counts_bad_weather(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a store that is away as an exception of the command, in the process's own memory."""

    class NeverRaisedError(Exception):
        """In place of the one that bad weather has."""

    monkeypatch.setattr(handlers, "UnavailableError", NeverRaisedError)
    monkeypatch.setattr(app, "MongoExceptions", lambda _: FakeExceptions(MemoryStore()))


def acks_and_looks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe after the ack of a trigger what was read before it."""

    async def hasty(
        waiting: WaitingRooms, key: RoomKey, confirm: Callable[[], Awaitable[bool]]
    ) -> Outcome | None:
        with waiting._runner.offer() as claim:
            if claim is None:
                return Retry(1.0)
            taken = await waiting._take(key, claim)
        if isinstance(taken, Applied):
            await taken.projected
        await confirm()
        return None

    monkeypatch.setattr(WaitingRooms, "take", hasty)


def thinks_that_no_room_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on with a room that always has another message, whoever waits for the slot."""
    nobody = property(lambda _: lambda: False, lambda *_: None)
    monkeypatch.setattr(TurnRunner, "rooms_wait", nobody, raising=False)


def takes_others_for_dead_while_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge who is dead as soon as the store answers again, before the others can renew."""
    monkeypatch.setattr(MongoSessions, "_in_touch", property(lambda _: True))


def looks_at_no_room_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rely on nudges."""
    monkeypatch.setattr(Care, "look_at_own_rooms", _nothing)


def keeps_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave every deadline to the turn's holder."""
    monkeypatch.setattr(Care, "keep_deadlines", _nothing)


def takes_nobody_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the rooms of the dead to themselves."""
    monkeypatch.setattr(Care, "recover", _nothing)


async def _nothing(*_: object) -> list[Any]:
    return []
