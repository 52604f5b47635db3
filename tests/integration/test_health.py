"""Readiness against real servers: red while something is away or missing, green again after."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator

import pytest

from abbotik_runtime import mongo
from abbotik_runtime.bus import Bus
from abbotik_runtime.health import Health
from abbotik_runtime.metrics import Metrics
from abbotik_runtime.provision import provision_streams
from abbotik_runtime.service import register_checks
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.servers import Child


@pytest.fixture
async def worker(own_nats: tuple[Child, str], mongo_url: str) -> AsyncIterator[tuple[Bus, Health]]:
    """Yield the bus and the health of a room worker on a provisioned server of its own."""
    settings = ServiceSettings(nats_url=own_nats[1], mongo_url=mongo_url)
    bus = await Bus.open(settings, "room-worker")
    await provision_streams(bus.js)
    client = mongo.connect(settings, "test")
    health = Health("room-worker", Metrics("room-worker"))
    register_checks(health, bus, client)
    yield bus, health
    await client.close()
    await bus.close()


async def _red(health: Health) -> dict[str, str]:
    return {name: why for name, why in (await health.report()).checks.items() if why}


async def test_green_where_everything_is_there(worker: tuple[Bus, Health]) -> None:
    """With both servers and all streams and consumers each check is green."""
    _, health = worker
    report = await health.report()
    assert report.ready
    assert report.checks == {"nats": "", "mongo": "", "streams": ""}


async def test_red_while_nats_is_away_and_green_again(
    worker: tuple[Bus, Health], own_nats: tuple[Child, str]
) -> None:
    """A killed NATS turns readiness red within seconds, a restarted one green again."""
    _, health = worker
    assert (await health.report()).ready
    own_nats[0].kill()
    red = await eventually(lambda: _red(health), within_s=5)
    assert red["nats"] == "NATS is not connected"
    own_nats[0].start()
    await eventually(lambda: _ready(health), within_s=5)


async def _ready(health: Health) -> bool:
    return (await health.report()).ready


async def test_red_without_a_consumer_and_green_again(worker: tuple[Bus, Health]) -> None:
    """A consumer that was deleted while the service runs is named, until it is there again."""
    bus, health = worker
    assert (await health.report()).ready
    await bus.js.delete_consumer("TURNS", "turns")
    red = await eventually(lambda: _red(health))
    assert red == {"streams": "consumer turns is missing: run `abbotik provision`"}
    await provision_streams(bus.js)
    await eventually(lambda: _ready(health))


async def test_red_without_a_stream(worker: tuple[Bus, Health]) -> None:
    """A missing stream is named, and so is its consumer."""
    bus, health = worker
    await bus.js.delete_stream("TURNS")
    red = await eventually(lambda: _red(health))
    assert "stream TURNS is missing" in red["streams"]


# PyMongo leaves a socket open when it is closed while it connects; `gc` finds it here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_red_while_mongo_is_away(own_nats: tuple[Child, str]) -> None:
    """A MongoDB that does not answer turns readiness red within the time of a check."""
    settings = ServiceSettings(
        nats_url=own_nats[1], mongo_url="mongodb://127.0.0.1:9/?replicaSet=rs0"
    )
    bus = await Bus.open(settings, "gateway")
    client = mongo.connect(settings, "test")
    health = Health("gateway", Metrics("gateway"))
    register_checks(health, bus, client)
    report = await health.report()
    assert report.checks["mongo"]
    assert report.checks["nats"] == ""
    await client.close()
    await bus.close()
    gc.collect()
