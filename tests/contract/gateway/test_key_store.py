"""Idempotency keys: one suite, run on the fake and on MongoDB."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from abbotik_gateway.adapters.idempotency import IDEMPOTENCY, MongoKeyStore
from abbotik_gateway.domain.keyed import RUNNING_MS, Keyed
from abbotik_gateway.domain.outcome import Outcome
from abbotik_gateway.ports import KeyStore
from abbotik_runtime.mongo import Database
from tests.fakes.plane import FakeKeyStore
from tests.fakes.streams import FakeClock

FIRST = Keyed("acme", "rent", "k", digest="d", command="c1", room="r1")
SECOND = replace(FIRST, command="c2", room="r2", digest="other")
DONE = Outcome(ok=True, data={"$id": "m", "a.b": {"$x": 1}}, seq=3, rev=2)


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that the test moves."""
    return FakeClock()


@pytest.fixture(params=["fake", "mongo"])
def keys(request: pytest.FixtureRequest, clock: FakeClock) -> KeyStore:
    """Return the fake, and then the real store."""
    if request.param == "fake":
        return FakeKeyStore(clock)
    database: Database = request.getfixturevalue("database")
    return MongoKeyStore(database, clock)


async def test_the_first_request_is_stored(keys: KeyStore) -> None:
    """It finds itself; the second one finds the first."""
    assert await keys.begin(FIRST) == FIRST
    assert await keys.begin(SECOND) == FIRST


async def test_a_key_is_its_tenants_and_its_routes(keys: KeyStore) -> None:
    """The same key elsewhere is another key."""
    await keys.begin(FIRST)
    for other in (replace(SECOND, tenant="other"), replace(SECOND, route="r/message")):
        assert await keys.begin(other) == other


async def test_age_is_told(keys: KeyStore, clock: FakeClock) -> None:
    """In ms since the request began."""
    await keys.begin(FIRST)
    clock.now += 1234
    assert (await keys.begin(SECOND)).age_ms == 1234


async def test_an_outcome_is_kept_once(keys: KeyStore) -> None:
    """The first one stays, whatever names its record has."""
    await keys.begin(FIRST)
    await keys.finish(FIRST, DONE)
    await keys.finish(FIRST, Outcome(ok=False, code="ROOM_BUSY"))
    assert (await keys.begin(SECOND)).outcome == DONE
    assert not await keys.take_over(FIRST)


async def test_an_open_request_is_taken_over_by_one(keys: KeyStore) -> None:
    """Of many that try, one runs; the others wait for it."""
    await keys.begin(FIRST)
    assert not await keys.take_over(FIRST)
    await keys.reopen(FIRST)
    assert (await keys.begin(SECOND)).opened
    taken = await asyncio.gather(*(keys.take_over(FIRST) for _ in range(10)))
    assert taken.count(True) == 1
    assert not (await keys.begin(SECOND)).opened


async def test_only_what_is_stored_is_opened(keys: KeyStore) -> None:
    """A request that met another one under its key, or was never stored, changes nothing."""
    await keys.reopen(FIRST)
    assert await keys.begin(FIRST) == FIRST
    await keys.reopen(SECOND)
    assert not (await keys.begin(SECOND)).opened


async def test_an_old_request_is_taken_over(keys: KeyStore, clock: FakeClock) -> None:
    """Once it is older than a POST may take; then it is young again."""
    await keys.begin(FIRST)
    clock.now += RUNNING_MS
    assert await keys.take_over(FIRST)
    assert not await keys.take_over(FIRST)
    clock.now += 5
    assert (await keys.begin(SECOND)).age_ms == 5


async def test_many_at_once_store_one(keys: KeyStore) -> None:
    """Whoever comes first is what all find."""
    wanted = [replace(FIRST, command=f"c{number}") for number in range(30)]
    found = await asyncio.gather(*(keys.begin(one) for one in wanted))
    assert len({one.command for one in found}) == 1


async def test_keys_are_forgotten_after_a_day(database: Database) -> None:
    """MongoDB itself removes them, by an index on when they came."""
    indexes = await database[IDEMPOTENCY].index_information()
    assert indexes["forget"]["expireAfterSeconds"] == 24 * 3600
    await MongoKeyStore(database, FakeClock(1_700_000_000_000)).begin(FIRST)
    stored = await database[IDEMPOTENCY].find_one({})
    assert stored is not None
    assert stored["at"].timestamp() == 1_700_000_000
