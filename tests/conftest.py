"""Fixtures of all tests: real servers once per run, a fresh database and empty streams per test."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from abbotik_contracts.subjects import STREAMS
from abbotik_runtime import mongo
from abbotik_runtime.bus import Bus
from abbotik_runtime.provision import provision_streams
from abbotik_runtime.settings import ServiceSettings
from tests import servers

# A developer's own environment must not decide what a test sees.
for _name in [name for name in os.environ if name.startswith("ABBOTIK_")]:
    if not _name.startswith("ABBOTIK_TEST_"):
        del os.environ[_name]
os.environ.pop("HOST", None)

_RUNGS: dict[str, str] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the run, where this is one of the processes that share it, which servers it used."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["rungs"] = _RUNGS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear that from such a process; one that crashed says nothing."""
    _RUNGS.update(getattr(node, "workeroutput", {}).get("rungs", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which servers this run used."""
    for name, rung in _RUNGS.items():
        terminalreporter.write_line(f"{name}: {rung}")


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """Yield the NATS server of this run, JetStream on, every write synced."""
    with servers.nats(tmp_path_factory.mktemp("nats")) as server:
        _RUNGS["NATS"] = server.rung
        yield server


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """Yield the MongoDB replica set of this run."""
    with servers.mongo(tmp_path_factory.mktemp("mongo")) as server:
        _RUNGS["MongoDB"] = server.rung
        yield server


@pytest.fixture(scope="session")
def nats_url(nats_server: servers.Server) -> str:
    """Return the URL of the run's NATS server."""
    return nats_server.url


@pytest.fixture(scope="session")
def mongo_url(mongo_server: servers.Server) -> str:
    """Return the URL of the run's MongoDB replica set."""
    return mongo_server.url


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[tuple[servers.Child, str]]:
    """Yield a running NATS server of this test alone, which it may kill and start, and its URL."""
    try:
        child, url = servers.packaged_nats(tmp_path / "nats")
    except servers.Missing as missing:
        servers.not_without(str(missing))
    child.start()
    yield child, url
    child.stop()


@pytest.fixture
def settings(nats_url: str, mongo_url: str) -> ServiceSettings:
    """Return settings that name the run's servers and a database of this test alone."""
    return ServiceSettings(
        nats_url=nats_url, mongo_url=mongo_url, mongo_database=f"test_{uuid.uuid4().hex[:16]}"
    )


@pytest.fixture
async def mongo_client(settings: ServiceSettings) -> AsyncIterator[mongo.Client]:
    """Yield a client with the product's settings."""
    client = mongo.connect(settings, "test")
    yield client
    await client.close()


@pytest.fixture
async def database(
    mongo_client: mongo.Client, settings: ServiceSettings
) -> AsyncIterator[mongo.Database]:
    """Yield a database of this test alone, with all indexes; dropped afterwards."""
    found = mongo.database(mongo_client, settings)
    await mongo.ensure_indexes(found)
    yield found
    await mongo_client.drop_database(settings.mongo_database)


@pytest.fixture
async def bus(settings: ServiceSettings) -> AsyncIterator[Bus]:
    """Yield a connected bus; streams may be missing."""
    opened = await Bus.open(settings, "test")
    yield opened
    await opened.close()


@pytest.fixture
async def streams(bus: Bus) -> Bus:
    """Return the bus, with all declared streams and consumers there and empty."""
    await provision_streams(bus.js)
    for stream in STREAMS:
        await bus.js.purge_stream(stream.name)
    return bus


@pytest.fixture
async def provisioned(
    settings: ServiceSettings,
    streams: Bus,  # noqa: ARG001 - makes and empties the streams
    database: mongo.Database,  # noqa: ARG001 - makes the indexes and drops all afterwards
) -> ServiceSettings:
    """Return the settings of a provisioned deployment with empty streams."""
    return settings
