"""The bus against a real server: confirmations, retries, lost and refused connections."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from nats.js.errors import APIError

from abbotik_cli.ports import Ports
from abbotik_runtime.bus import Bus, BusUnavailable, SubjectFull
from abbotik_runtime.provision import provision_streams
from abbotik_runtime.settings import ServiceSettings
from tests.clusters import nats_member
from tests.eventually import eventually
from tests.servers import Child


class Ended:
    """Stands for the end of the process."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        """Count an end."""
        self.times += 1


@pytest.fixture
async def own_bus(own_nats: tuple[Child, str]) -> AsyncIterator[Bus]:
    """Yield a bus on the test's own server, with all streams."""
    bus = await Bus.open(ServiceSettings(nats_url=own_nats[1]), "test")
    await provision_streams(bus.js)
    yield bus
    await bus.close()


def unique() -> str:
    """Return a message id that no earlier run has used on the same server."""
    return str(uuid.uuid4())


async def _count(bus: Bus, stream: str) -> int:
    return (await bus.js.stream_info(stream)).state.messages


async def test_a_stored_message_is_confirmed(streams: Bus) -> None:
    """The ack names stream and sequence, and the message is there with its id and headers."""
    identity = unique()
    ack = await streams.publish_stored(
        "cmd.room.t.r.message", b"body", message_id=identity, headers={"x-request-id": "q"}
    )
    stored = await streams.js.get_msg("COMMANDS", ack.seq)
    assert (ack.stream, ack.duplicate, stored.data) == ("COMMANDS", False, b"body")
    assert stored.headers == {"Nats-Msg-Id": identity, "x-request-id": "q"}


async def test_the_same_id_is_stored_once(streams: Bus) -> None:
    """A second publish with the same id is confirmed as a duplicate of the first."""
    identity = unique()
    first = await streams.publish_stored("cmd.room.t.r.message", b"a", message_id=identity)
    second = await streams.publish_stored("cmd.room.t.r.message", b"b", message_id=identity)
    assert (second.duplicate, second.seq) == (True, first.seq)
    assert await _count(streams, "COMMANDS") == 1


async def test_the_callers_headers_are_left_alone(streams: Bus) -> None:
    """Publishing adds its headers to a copy."""
    headers = {"x-request-id": "q"}
    await streams.publish_stored("cmd.room.t.r.message", b"", message_id=unique(), headers=headers)
    await streams.publish("live.room.t.r", b"", headers)
    assert headers == {"x-request-id": "q"}


async def test_many_publishes_at_once_get_their_own_acks(streams: Bus) -> None:
    """A thousand publishes under way at the same time are each matched with their ack."""
    acks = await asyncio.gather(
        *(
            streams.publish_stored(f"cmd.room.t.r{n}.message", b"", message_id=unique())
            for n in range(1000)
        )
    )
    assert len({ack.seq for ack in acks}) == 1000


async def test_a_waiting_message_of_the_subject_is_an_answer(streams: Bus) -> None:
    """TURNS keeps one message per room: the second publish says so at once, by its own error."""
    await streams.publish_stored("turn.t.r", b"", message_id=unique())
    async with asyncio.timeout(1):
        with pytest.raises(SubjectFull):
            await streams.publish_stored("turn.t.r", b"", message_id=unique())


async def test_a_subject_without_a_stream_is_unavailable(streams: Bus) -> None:
    """Nobody stores the subject: tried again until the deadline, then BusUnavailable."""
    async with asyncio.timeout(2):
        with pytest.raises(BusUnavailable, match="no stream answers"):
            await streams.publish_stored("nothing.here", b"", message_id=unique(), deadline_s=0.3)


async def test_a_refusal_for_good_is_raised_at_once(streams: Bus) -> None:
    """A request that no retry can mend is the server's own error, without waiting."""
    async with asyncio.timeout(1):
        with pytest.raises(APIError):
            await streams.publish_stored(
                "cmd.room.t.r.message",
                b"",
                message_id=unique(),
                headers={"Nats-Expected-Stream": "DLQ"},
            )


async def test_retries_keep_the_message_id(own_nats: tuple[Child, str], own_bus: Bus) -> None:
    """A publish that the server answered too late is sent again and still stored once."""
    server, _ = own_nats
    server.pause()
    try:
        publishing = asyncio.create_task(
            own_bus.publish_stored("cmd.room.t.r.message", b"once", message_id=unique())
        )
        retries = own_bus.metrics.publish_retries
        await eventually(lambda: retries.count() >= 1)
    finally:
        server.resume()
    await publishing
    assert await _count(own_bus, "COMMANDS") == 1


async def test_a_publish_survives_a_restart_of_the_server(
    own_nats: tuple[Child, str], own_bus: Bus
) -> None:
    """What is published while the server is down is stored once it is back, within the deadline."""
    server, _ = own_nats
    server.kill()
    await eventually(lambda: not own_bus.connected)
    publishing = asyncio.create_task(
        own_bus.publish_stored("cmd.room.t.r.message", b"x", message_id=unique())
    )
    server.start()
    assert (await publishing).stream == "COMMANDS"
    assert await _count(own_bus, "COMMANDS") == 1


async def test_a_lost_connection_fails_what_waits_at_once(
    own_nats: tuple[Child, str], own_bus: Bus
) -> None:
    """A publish whose deadline passes while the server is away says unknown, not stored."""
    server, _ = own_nats
    server.kill()
    async with asyncio.timeout(3):
        with pytest.raises(BusUnavailable):
            await own_bus.publish_stored(
                "cmd.room.t.r.message", b"", message_id=unique(), deadline_s=1.0
            )


async def test_core_messages_are_refused_while_disconnected(
    own_nats: tuple[Child, str], own_bus: Bus
) -> None:
    """Without a connection a core publish raises instead of waiting in a buffer."""
    server, _ = own_nats
    server.kill()
    await eventually(lambda: not own_bus.connected)
    with pytest.raises(BusUnavailable):
        await own_bus.publish("live.room.t.r", b"")
    assert await own_bus.check() == "NATS is not connected"


async def test_hooks_run_after_each_reconnect(own_nats: tuple[Child, str], own_bus: Bus) -> None:
    """Every hook is called when the connection is back, also beside one that fails."""
    server, _ = own_nats
    called = asyncio.Event()

    async def fails() -> None:
        raise ValueError("a hook's own fault")

    async def works() -> None:
        called.set()

    own_bus.on_reconnect(fails)
    own_bus.on_reconnect(works)
    epoch = own_bus.epoch
    server.kill()
    server.start()
    await asyncio.wait_for(called.wait(), 10)
    assert own_bus.epoch == epoch + 1
    assert await own_bus.check() is None


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[str]]:
    """Yield the URLs of three servers of a cluster; they tell clients of each other by address."""
    ports = Ports()
    serving, routes, monitors = ([ports.take() for _ in range(3)] for _ in range(3))
    with ExitStack() as running:
        members = [
            Child(
                nats_member(
                    f"n{port}",
                    tmp_path / f"n{port}",
                    port=port,
                    monitor=monitor,
                    route=route,
                    advertised=route,
                    routes=routes,
                ),
                tmp_path / f"n{port}.log",
            )
            for port, route, monitor in zip(serving, routes, monitors, strict=True)
        ]
        # None is ready before it has found another one, and all end with the thread they are of.
        together = running.enter_context(ThreadPoolExecutor())
        list(together.map(Child.start, members))
        for member in members:
            running.callback(member.stop)
        yield [f"nats://localhost:{port}" for port in serving]


async def test_a_server_is_left_for_the_one_that_is_named(cluster: list[str]) -> None:
    """However often that happens, and whatever the cluster tells of its members."""
    bus = await Bus.open(ServiceSettings(nats_url=",".join(cluster)), "test")
    await eventually(lambda: bus.client.discovered_servers)
    for epoch, server in enumerate(cluster * 3, start=1):
        await bus.go_to(server)
        await eventually(partial(_is_connected, bus, epoch))
        url = bus.client.connected_url
        assert url is not None
        assert url.geturl() == server
    await bus.close()


def _is_connected(bus: Bus, epoch: int) -> bool:
    return bus.connected and bus.epoch == epoch


async def test_the_first_connect_waits_for_the_server(own_nats: tuple[Child, str]) -> None:
    """A service that starts before NATS waits, says so, and goes on when NATS is there."""
    server, url = own_nats
    server.kill()
    bus = Bus(ServiceSettings(nats_url=url), "test")
    connecting = asyncio.create_task(bus.connect())
    await asyncio.sleep(0)
    assert await bus.check() == "NATS is not connected"
    with pytest.raises(BusUnavailable):
        _ = bus.js
    server.start()
    await asyncio.wait_for(connecting, 10)
    assert await bus.check() is None
    await bus.close()


async def test_the_end_of_the_connection_ends_the_process(own_nats: tuple[Child, str]) -> None:
    """A client that closed for good, without being asked to, ends the process once."""
    ended = Ended()
    bus = Bus(ServiceSettings(nats_url=own_nats[1]), "test", on_closed=ended)
    await bus.connect()
    await bus.client.close()
    assert (ended.times, bus.failed) == (1, "the client closed its connection")
    await bus.close()
    assert ended.times == 1


async def test_closing_the_bus_ends_nothing(own_nats: tuple[Child, str]) -> None:
    """An ordinary close is not taken for a lost connection."""
    ended = Ended()
    bus = Bus(ServiceSettings(nats_url=own_nats[1]), "test", on_closed=ended)
    await bus.connect()
    await bus.close()
    assert (ended.times, bus.failed) == (0, None)


async def test_a_refused_reconnect_is_tried_again(
    own_nats: tuple[Child, str], own_bus: Bus, tmp_path: Path
) -> None:
    """A server that is back with another login is tried until it takes the old one again."""
    server, _ = own_nats
    config = tmp_path / "nats" / "nats-server.conf"
    before = config.read_text()
    locked = {**json.loads(before), "authorization": {"token": "made-up"}}
    server.kill()
    config.write_text(json.dumps(locked, indent=1))
    server.start()
    await eventually(lambda: "Authorization" in str(own_bus.client.last_error))
    assert own_bus.failed is None
    server.kill()
    config.write_text(before)
    server.start()
    await eventually(lambda: own_bus.connected)
    await own_bus.publish_stored("cmd.room.t.r.message", b"", message_id=unique())
