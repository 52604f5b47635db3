"""What waits, read from real servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from abbotik_contracts import subjects
from abbotik_gateway.adapters.pressure import Pressure
from abbotik_gateway.domain.pressure import Limits
from abbotik_gateway.domain.problem import Problem
from abbotik_runtime import mongo
from abbotik_runtime.bus import Bus
from abbotik_runtime.ids import uuid7
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually


async def _refused(pressure: Pressure) -> Problem | None:
    """Read once more, and return why a message would be refused."""
    await pressure.read()
    try:
        pressure.check("message")
    except Problem as problem:
        return problem
    return None


async def _well(pressure: Pressure) -> bool:
    return await _refused(pressure) is None


async def test_commands_that_nobody_takes_stop_new_ones(
    streams: Bus, database: mongo.Database
) -> None:
    """One more than the limit refuses; once somebody took them all is well again."""
    pressure = Pressure(streams, database, Limits(commands=2, turns=2, store_s=5, projection_s=1))
    subject = subjects.room_command("acme", uuid7(), "message")

    for _ in range(2):
        await streams.publish_stored(subject, b"{}", message_id=uuid7())
        assert await _refused(pressure) is None
    await streams.publish_stored(subject, b"{}", message_id=uuid7())
    # The server counts what waits a moment after it has said that it is stored.
    problem = await eventually(lambda: _refused(pressure))
    assert problem.extra == {"reason": "commands_waiting", "value": 3, "limit": 2}
    pressure.check("release")
    await streams.js.purge_stream("COMMANDS")

    assert await eventually(lambda: _well(pressure))


async def test_commands_that_somebody_took_and_keeps_count_after_a_while(
    streams: Bus, database: mongo.Database
) -> None:
    """A worker that stands still has all of them; to the server none is pending."""
    pressure = Pressure(streams, database, Limits(commands=2, turns=2, store_s=5, projection_s=1))
    for _ in range(3):
        subject = subjects.room_command("acme", uuid7(), "message")
        await streams.publish_stored(subject, b"{}", message_id=uuid7())
    worker = subjects.consumer("room-worker")
    taken = await streams.js.pull_subscribe_bind(worker.name, worker.stream)
    messages = await taken.fetch(3, timeout=5)

    assert await eventually(lambda: _well(pressure))
    problem = await eventually(lambda: _refused(pressure))
    assert problem.extra == {"reason": "commands_waiting", "value": 3, "limit": 2}
    for message in messages:
        await message.ack()
    assert await eventually(lambda: _well(pressure))


async def test_rooms_that_wait_for_a_slot_stop_new_work(
    streams: Bus, database: mongo.Database
) -> None:
    """Waiting triggers count, one for each room."""
    pressure = Pressure(streams, database, Limits(commands=2, turns=2, store_s=5, projection_s=1))
    for _ in range(3):
        await streams.publish_stored(subjects.turn("acme", uuid7()), b"", message_id=uuid7())

    async def refused() -> bool:
        await pressure.read()
        try:
            pressure.check("rent")
        except Problem as problem:
            return "rooms wait for a free turn slot" in str(problem)
        return False

    assert await eventually(refused)


async def test_slow_store_stops_new_work(streams: Bus, database: mongo.Database) -> None:
    """An answer that takes longer than the limit counts."""
    pressure = Pressure(
        streams, database, Limits(commands=2, turns=2, store_s=1e-9, projection_s=1)
    )
    await pressure.read()
    with pytest.raises(Problem, match="until MongoDB answers"):
        pressure.check("wake")


async def test_worker_that_owes_projections_for_too_long_stops_new_work(
    streams: Bus, database: mongo.Database
) -> None:
    """The oldest of all that are alive counts; what a dead one owed is repaired by others."""
    pressure = Pressure(streams, database, Limits(commands=2, turns=2, store_s=5, projection_s=1))
    now = datetime.now(UTC)
    for name, age_ms, expires_in_s in (("a", 100, 60), ("dead", 9_000, -60), ("b", 500, 60)):
        await database["workers"].insert_one(
            {
                "_id": name,
                "expires_at": now + timedelta(seconds=expires_in_s),
                "projection_age_ms": age_ms,
            }
        )
    await pressure.read()
    pressure.check("message")
    await database["workers"].update_one({"_id": "b"}, {"$set": {"projection_age_ms": 1_500}})
    await pressure.read()
    with pytest.raises(Problem, match="what lists lag behind"):
        pressure.check("message")


async def test_server_that_is_away_is_not_pressure(
    settings: ServiceSettings, database: mongo.Database
) -> None:
    """Then publishing itself says 503; nothing is refused for a reading that is not there."""
    pressure = Pressure(
        Bus(settings, "test"), database, Limits(commands=0, turns=0, store_s=5, projection_s=1)
    )
    await pressure.read()
    pressure.check("message")
