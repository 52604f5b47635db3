"""A server whose JetStream does not answer is left where another one's does."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.js.errors import ServiceUnavailableError

from abbotik_runtime.bus import Bus
from abbotik_runtime.provision import client_of, provision_streams
from abbotik_runtime.settings import ServiceSettings
from abbotik_runtime.streams_check import StreamsCheck
from tests.eventually import eventually
from tests.faults.sockets import ports_of
from tests.servers import Child, packaged_nats


@asynccontextmanager
async def _looking(home: Path, other: str) -> AsyncIterator[tuple[Bus, StreamsCheck]]:
    """Yield a gateway's check, connected to a server without JetStream, that knows another one."""
    silent, url = packaged_nats(home)
    config = home / "nats-server.conf"
    wanted = json.loads(config.read_text())
    del wanted["jetstream"]
    config.write_text(json.dumps(wanted))
    silent.start()
    bus = await Bus.open(ServiceSettings(nats_url=url), "gateway")
    # Known from the beginning on it might have been the first.
    bus.servers = [url, other]
    try:
        yield bus, StreamsCheck(bus)
    finally:
        await bus.close()
        silent.stop()


async def test_it_goes_where_all_is_found(own_nats: tuple[Child, str], tmp_path: Path) -> None:
    """The check is red once, and green from the other server on."""
    async with client_of([own_nats[1]], "test") as client:
        await provision_streams(client.jetstream())
    async with _looking(tmp_path / "silent", own_nats[1]) as (bus, streams):
        with pytest.raises(ServiceUnavailableError):
            await streams.check()
        await eventually(lambda: bus.connected and bus.epoch)
        assert await streams.check() is None


async def test_a_server_that_says_nothing_is_not_held_on_to() -> None:
    """It accepts the connection, which ends with the look at it."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(TimeoutError):
            async with client_of([f"nats://127.0.0.1:{port}"], "test"):
                pass
        assert ports_of([os.getpid()], port) == set()


async def test_it_stays_where_no_other_knows_more(
    own_nats: tuple[Child, str], tmp_path: Path
) -> None:
    """While a leader is elected none answers, and who moved about might end up at a lonely one."""
    async with _looking(tmp_path / "silent", own_nats[1]) as (bus, streams):
        for _ in range(2):
            with pytest.raises(ServiceUnavailableError):
                await streams.check()
        own_nats[0].kill()
        with pytest.raises(ServiceUnavailableError):
            await streams.check()
        assert bus.connected
        assert bus.epoch == 0
