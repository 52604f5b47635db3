"""Worker sessions on a real server: the server's time, bad weather, several renewals at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import cast

import pytest
from pymongo import AsyncMongoClient

from abbotik_kernel.clock import CorrectedClock, SystemClock
from abbotik_room_worker.adapters import sessions as module
from abbotik_room_worker.adapters.sessions import WORKERS, MongoSessions
from abbotik_room_worker.ports import UnavailableError
from abbotik_room_worker.progress import Progress
from abbotik_runtime import mongo
from abbotik_runtime.ids import uuid7
from tests.eventually import eventually
from tests.integration.cutting_proxy import CuttingProxy


def wall(shift_ms: int = 0) -> CorrectedClock:
    """Return a clock that is that wrong until it hears better."""
    return CorrectedClock(SystemClock(shift_ms))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sessions expire after 0.3 s, and wait no longer for a renewal."""
    monkeypatch.setattr(module, "EXPIRY_S", 0.3)
    monkeypatch.setattr(module, "_RENEWAL_TIMEOUT_S", 0.2)


@pytest.fixture
async def away() -> AsyncIterator[mongo.Database]:
    """Yield a database on a server that does not answer."""
    client: mongo.Client = AsyncMongoClient(
        "mongodb://127.0.0.1:1/", timeoutMS=100, serverSelectionTimeoutMS=100
    )
    yield client["x"]
    await client.close()


async def _now(database: mongo.Database) -> datetime:
    cursor = await database.aggregate([{"$documents": [{"now": "$$NOW"}]}])
    return cast("datetime", (await cursor.next())["now"])


async def test_times_are_the_servers(database: mongo.Database) -> None:
    """What is stored comes from the database's clock; a worker's wrong clock has no say."""
    session = MongoSessions(database, "w1", Progress(), wall())
    before = await _now(database)
    await session.renew()
    after = await _now(database)
    stored = await database[WORKERS].find_one({"_id": "w1"})
    assert stored is not None
    assert before <= stored["renewed_at"] <= after
    assert (stored["expires_at"] - stored["renewed_at"]).total_seconds() == module.EXPIRY_S
    assert stored["projected_through"] == 0


@pytest.mark.parametrize("shift_ms", [-60_000, 0, 60_000])
async def test_worker_hears_the_time_with_each_renewal(
    database: mongo.Database, monkeypatch: pytest.MonkeyPatch, shift_ms: int
) -> None:
    """However wrong its own clock is, it tells the database's time from the first renewal on."""
    monkeypatch.setattr(module, "_SURE_S", 3.0)
    clock = wall(shift_ms)
    session = MongoSessions(database, "w1", Progress(), clock)
    assert not session.begun.is_set()
    await session.renew()
    assert session.begun.is_set()
    server_ms = (await _now(database)).timestamp() * 1000
    assert abs(clock.now_ms() - server_ms) < 1000
    await session.renew()
    assert abs(await _told_clock_off_ms(database) - shift_ms) < 1000


async def test_renewal_that_takes_its_time_is_no_wrong_clock(
    mongo_url: str, database: mongo.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a second between the asking and the database's time is the way there."""
    monkeypatch.setattr(module, "_RENEWAL_TIMEOUT_S", 10.0)
    async with CuttingProxy(mongo_url) as proxy, _impatient(proxy.url, 10_000) as client:
        session = MongoSessions(client[database.name], "w1", Progress(), wall())
        await session.renew()
        for _ in range(2):
            proxy.flowing.clear()
            asyncio.get_running_loop().call_later(1.2, proxy.flowing.set)
            await session.renew()
            assert abs(await _told_clock_off_ms(database)) < 1000


async def test_session_begins_when_the_time_is_known(
    mongo_url: str, database: mongo.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first answer that was waited for could be from any moment of the wait."""
    monkeypatch.setattr(module, "_SURE_S", 0.5)
    async with CuttingProxy(mongo_url) as proxy, _impatient(proxy.url, 3000) as client:
        session = MongoSessions(client[database.name], "w1", Progress(), wall())
        proxy.flowing.clear()
        asyncio.get_running_loop().call_later(0.6, proxy.flowing.set)
        await session.renew()
        assert session.live
        assert not session.begun.is_set()

        async def begins() -> bool:
            await session.renew()
            return session.begun.is_set()

        await eventually(begins)


async def test_session_begins_over_a_slow_link_too(
    database: mongo.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some answers that took long it is as sure of the time as it will ever be."""
    monkeypatch.setattr(module, "_SURE_S", 0.0)
    session = MongoSessions(database, "w1", Progress(), wall())
    for begun in (False, False, False, False, True):
        await session.renew()
        assert session.begun.is_set() is begun


async def test_session_of_a_machine_that_slept_is_over(
    database: mongo.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For others the time went on: until it is renewed it may have been declared dead."""
    clock = wall()
    session = MongoSessions(database, "w1", Progress(), clock)
    await session.renew()
    assert session.live
    before, awake = clock.now_ms(), time.clock_gettime

    def after_sleep(which: int) -> float:
        return awake(which) + (900 if which == time.CLOCK_BOOTTIME else 0)

    monkeypatch.setattr(time, "clock_gettime", after_sleep)
    assert not session.live
    assert clock.now_ms() >= before + 900_000


async def test_one_document_per_session(database: mongo.Database) -> None:
    """Renewals change the session's one document, several at once too."""
    session = MongoSessions(database, "w1", Progress(), wall())
    await asyncio.gather(*(session.renew() for _ in range(20)))
    assert await database[WORKERS].count_documents({}) == 1


async def test_renewal_says_how_far_the_worker_has_come(database: mongo.Database) -> None:
    """Each renewal stores up to which counter all is projected."""
    progress = Progress()
    session = MongoSessions(database, "w1", progress, wall())
    for counter in (1, 2, 3):
        progress.opened(counter)
    progress.settled(1)
    await session.renew()
    assert (await database[WORKERS].find_one({}) or {})["projected_through"] == 1
    progress.settled(2)
    progress.settled(3)
    await session.renew()
    assert (await database[WORKERS].find_one({}) or {})["projected_through"] == 3


@pytest.mark.usefixtures("short")
async def test_failed_renewal_does_not_prolong_life(away: mongo.Database) -> None:
    """Nobody lives by a renewal that the server did not confirm."""
    session = MongoSessions(away, "w1", Progress(), wall())
    with pytest.raises(UnavailableError):
        await session.renew()
    assert not session.live
    assert await session.dead() == []


@pytest.mark.usefixtures("short")
async def test_renewal_that_failed_in_between_is_a_gap(
    mongo_url: str, database: mongo.Database
) -> None:
    """After one that was not confirmed a full expiry has to pass before anybody is dead."""
    await MongoSessions(database, "gone", Progress(), wall()).renew()
    async with CuttingProxy(mongo_url) as proxy, _impatient(proxy.url, 150) as client:
        witness = MongoSessions(client[database.name], "w1", Progress(), wall())

        async def sees_the_dead() -> bool:
            await witness.renew()
            return bool(await witness.dead())

        await eventually(sees_the_dead)
        proxy.broken = True
        with pytest.raises(UnavailableError):
            await witness.renew()
        proxy.broken = False
        await eventually(lambda: _renewed(witness))
        assert witness.live
        assert await witness.dead() == []
        await eventually(sees_the_dead)


@pytest.mark.parametrize("waits", ["renewal", "look"])
async def test_call_that_took_long_is_a_gap(
    mongo_url: str, database: mongo.Database, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    """A primary was lost and a call waited for the next one: the others' renewals may do still."""
    for name, seconds in (("EXPIRY_S", 0.6), ("_RENEWAL_TIMEOUT_S", 0.5), ("_GAP_S", 0.15)):
        monkeypatch.setattr(module, name, seconds)
    await MongoSessions(database, "gone", Progress(), wall()).renew()
    async with CuttingProxy(mongo_url) as proxy, _impatient(proxy.url, 1000) as client:
        # To find the server takes its time too, which is no part of a renewal here.
        await client.admin.command("ping")
        witness = MongoSessions(client[database.name], "w1", Progress(), wall())

        async def sees_the_dead() -> bool:
            await witness.renew()
            return bool(await witness.dead())

        await eventually(sees_the_dead)
        proxy.flowing.clear()
        asyncio.get_running_loop().call_later(0.25, proxy.flowing.set)
        if waits == "renewal":
            await witness.renew()
            assert witness.live
        assert await witness.dead() == []
        await eventually(sees_the_dead)


def _impatient(url: str, timeout_ms: int) -> mongo.Client:
    return AsyncMongoClient(
        url,
        timeoutMS=timeout_ms,
        serverSelectionTimeoutMS=timeout_ms,
        retryWrites=False,
        tz_aware=True,
    )


async def _renewed(session: MongoSessions) -> bool:
    try:
        await session.renew()
    except UnavailableError:
        return False
    return True


@pytest.mark.usefixtures("short")
async def test_life_counts_from_before_the_renewal_was_sent(database: mongo.Database) -> None:
    """The own deadline is never later than the server's, however long the answer took."""
    loop = asyncio.get_running_loop()
    session = MongoSessions(database, "w1", Progress(), wall())
    sent = loop.time()
    await session.renew()
    assert session._good_until <= sent + module.EXPIRY_S + (loop.time() - sent)
    assert session._good_until >= sent + module.EXPIRY_S
    await eventually(lambda: not session.live)
    assert loop.time() >= sent + module.EXPIRY_S


@pytest.mark.usefixtures("short")
async def test_ended_session_is_expired_at_once(database: mongo.Database) -> None:
    """A process that leaves in order does not make others wait."""
    leaving = MongoSessions(database, uuid7(), Progress(), wall())
    await leaving.renew()
    await leaving.end()
    found = await database[WORKERS].count_documents({"$expr": {"$lte": ["$expires_at", "$$NOW"]}})
    assert found == 1


async def test_end_and_death_of_the_store_are_no_errors_at_the_end(away: mongo.Database) -> None:
    """A process that leaves while the store is away leaves all the same."""
    await MongoSessions(away, "w1", Progress(), wall()).end()


async def test_session_that_never_renewed_leaves_no_trace(database: mongo.Database) -> None:
    """Ending what never began writes nothing."""
    await MongoSessions(database, "w1", Progress(), wall()).end()
    assert await database[WORKERS].count_documents({}) == 0


async def _told_clock_off_ms(database: mongo.Database) -> int:
    told = await database[WORKERS].find_one({})
    assert told is not None
    return int(told["clock_off_ms"])
