"""Tests of the promises at a real MongoDB, without the fix that each is about: every one is red."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
from pymongo import AsyncMongoClient

from abbotik_room_worker.keeper import RoomKeeper
from abbotik_runtime import log_writer, mongo
from abbotik_runtime.log_reader import ROOM_LOG
from abbotik_runtime.log_writer import Committed, LogWriter, Lost
from tests.integration import test_log_writer, test_long_ago, test_sessions
from tests.integration.cutting_proxy import CuttingProxy
from tests.integration.test_long_ago import Calls
from tests.service.room_worker.broken_builds import takes_others_for_dead_while_away

Build = Callable[[pytest.MonkeyPatch], None]
BehindProxy = Callable[[CuttingProxy, mongo.Database], Awaitable[None]]


def _compares_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take whatever is in the way of a resend for another's."""
    monkeypatch.setattr(log_writer, "_same_token", lambda *_: False)


def _takes_unknown_for_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send nothing again."""

    async def hopeful(_: LogWriter, batch: Sequence[log_writer._Pending]) -> None:
        for pending in batch:
            log_writer._answer(pending, Committed())

    monkeypatch.setattr(LogWriter, "_resolve_unknown", hopeful)


def _takes_unknown_for_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the room decided anew while the first insert may still be on its way."""

    async def hasty(_: LogWriter, batch: Sequence[log_writer._Pending]) -> None:
        for pending in batch:
            log_writer._answer(pending, Lost())

    monkeypatch.setattr(LogWriter, "_resolve_unknown", hasty)


def _takes_doubled_for_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take whatever is in the way for one's own, since it was sent again."""
    monkeypatch.setattr(log_writer, "_same_token", lambda *_: True)


@pytest.mark.parametrize(
    ("build", "scenario", "red"),
    [
        # Applied, and its answer lost: the writer takes its own entry for a rival's.
        (
            _compares_no_tokens,
            test_log_writer.test_write_that_was_applied_unheard_is_committed,
            r"(Lost|Answered)\(.* == Committed",
        ),
        # Never applied, and told as done.
        (
            _takes_unknown_for_committed,
            test_log_writer.test_write_that_was_never_applied_is_sent_again,
            "1 == 3",
        ),
        # Applied late, behind what was decided anew.
        (
            _takes_unknown_for_lost,
            test_log_writer.test_write_that_is_applied_late_finds_itself_there,
            r"Lost\(\) == Committed",
        ),
    ],
)
async def test_insert_without_an_answer_is_no_single_commit(
    proxy: CuttingProxy,
    behind: mongo.Database,
    monkeypatch: pytest.MonkeyPatch,
    build: Build,
    scenario: BehindProxy,
    red: str,
) -> None:
    """Dropped after it was applied, before, or late."""
    build(monkeypatch)
    with pytest.raises(AssertionError, match=red):
        await scenario(proxy, behind)


async def test_late_write_is_carried_out_beside_its_command_that_came_again(
    proxy: CuttingProxy, behind: mongo.Database, database: mongo.Database
) -> None:
    """Where no index keeps commands apart."""
    await database[ROOM_LOG].drop_index("keys")
    with pytest.raises(AssertionError, match=r"isinstance\(Committed"):
        await test_log_writer.test_late_write_that_comes_first_is_the_answer(
            proxy, behind, database
        )


async def test_race_for_a_rev_has_two_winners(
    proxy: CuttingProxy,
    behind: mongo.Database,
    database: mongo.Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a rival's entry is taken for one's own."""
    _takes_doubled_for_committed(monkeypatch)
    with pytest.raises(AssertionError, match=r"Committed\(\) == Lost"):
        await test_log_writer.test_race_that_was_lost_while_nothing_was_known_is_lost(
            proxy, behind, database
        )


@pytest.mark.parametrize("knows_the_room", [True, False])
async def test_command_of_long_ago_is_done_again_or_asked_for_too_often(
    mongo_url: str,
    database: mongo.Database,
    monkeypatch: pytest.MonkeyPatch,
    *,
    knows_the_room: bool,
) -> None:
    """By the worker that has the room without the index, by another that looks by writing."""
    if knows_the_room:
        await database[ROOM_LOG].drop_index("keys")
    else:
        monkeypatch.setattr(RoomKeeper, "_earlier", _none)
    calls = Calls()
    red = pytest.raises(AssertionError, match=r"'seq'" if knows_the_room else r"<= 3")
    client: mongo.Client = AsyncMongoClient(mongo_url, w="majority", event_listeners=[calls])
    keepers: list[RoomKeeper] = []
    make = test_long_ago._keeper

    def remembered(database: mongo.Database) -> RoomKeeper:
        keepers.append(make(database))
        return keepers[-1]

    monkeypatch.setattr(test_long_ago, "_keeper", remembered)
    async with client:
        with red:
            await test_long_ago.test_first_outcome_for_three_calls(
                client[database.name], calls, knows_the_room=knows_the_room
            )
        # What it still projects, when it fails, would be tried for ever once the client is closed.
        for keeper in keepers:
            await keeper.drain()


@pytest.mark.parametrize("waits", ["renewal", "look"])
async def test_lost_primary_looks_like_everybodys_death(
    mongo_url: str, database: mongo.Database, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    """Where a worker that was out of touch itself takes others for dead."""
    takes_others_for_dead_while_away(monkeypatch)
    with pytest.raises(AssertionError, match=r"DeadSession.* == "):
        await test_sessions.test_call_that_took_long_is_a_gap(
            mongo_url, database, monkeypatch, waits
        )


async def _none(*_: object) -> None:
    return None
