"""Passing commands on, over a real server: taken and settled there, or back at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import pytest
from nats.aio.msg import Msg
from nats.js.api import ConsumerInfo

from abbotik_contracts.subjects import HEADER_REPLY, consumer, worker_commands
from abbotik_kernel.outcome import Done, Outcome
from abbotik_room_worker.handlers import RoomCommands
from abbotik_room_worker.homes import Homes
from abbotik_room_worker.ports import RoomKey
from abbotik_room_worker.subscribers import command_pull
from abbotik_runtime import passing as module
from abbotik_runtime.acks import InProgress
from abbotik_runtime.bus import Bus
from abbotik_runtime.hearing import hear
from abbotik_runtime.passing import Passing
from abbotik_runtime.provision import provision_streams
from abbotik_runtime.pull import PullLoop
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.servers import Child

COMMANDS = consumer("room-worker")


@pytest.fixture
async def other(settings: ServiceSettings, streams: Bus) -> AsyncIterator[Bus]:
    """Yield another process's connection to the same server."""
    assert streams.connected
    bus = await Bus.open(settings, "other")
    yield bus
    await bus.close()


class Elsewhere:
    """Homes of which every room's is one and the same."""

    def __init__(self, session: str, home: str | None) -> None:
        self.session = session
        self.home = home

    def elsewhere(self, _key: RoomKey) -> str | None:
        """Return the home."""
        return self.home


class Worker:
    """Takes commands as the product does; all it does with one is to remember it."""

    def __init__(self, bus: Bus, session: str, home: str | None = None) -> None:
        self.handled: list[tuple[str, bytes]] = []
        self.headers: list[Mapping[str, str]] = []
        self.bus = bus
        self.homes = Elsewhere(session, home)
        self.pull, self.passing = command_pull(
            bus, InProgress(bus), cast("RoomCommands", self), cast("Homes", self.homes)
        )

    async def handle(self, subject: str, data: bytes, headers: Mapping[str, str]) -> Outcome:
        """Remember a command."""
        self.handled.append((subject, data))
        self.headers.append(headers)
        return Done()


@asynccontextmanager
async def working(*listeners: Worker, pulls: Worker) -> AsyncIterator[None]:
    """Have all of them listen, and one pull, for the block."""
    for worker in (*listeners, pulls):
        await worker.passing.start()
        await worker.bus.barrier()
    pulls.pull.start()
    try:
        yield
    finally:
        for worker in (pulls, *listeners):
            await asyncio.gather(worker.passing.stop(), worker.pull.stop())
            assert await worker.pull.drained(5)


async def _publish(bus: Bus, *rooms: str, data: bytes = b"x", **headers: str) -> list[str]:
    subjects = [f"cmd.room.tenant.{room}.message" for room in rooms]
    for subject in subjects:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await bus.publish_stored(subject, data, message_id=f"{id(bus)}-{subject}", headers=named)
    return subjects


class Deliveries:
    """Counts how often the stream delivered commands since it was made."""

    def __init__(self, bus: Bus, before: int) -> None:
        self._bus = bus
        self._before = before

    async def until_settled(self) -> int:
        """Wait until all commands are settled; return how many deliveries that took."""
        return int(await eventually(self._settled))

    async def _settled(self) -> int | None:
        info = await self._bus.js.consumer_info(COMMANDS.stream, COMMANDS.name)
        waits = info.num_pending or info.num_ack_pending
        return None if waits else _delivered(info) - self._before


def _delivered(info: ConsumerInfo) -> int:
    return 0 if info.delivered is None else info.delivered.consumer_seq


@pytest.fixture
async def deliveries(streams: Bus) -> Deliveries:
    """Return the count of this test."""
    info = await streams.js.consumer_info(COMMANDS.stream, COMMANDS.name)
    return Deliveries(streams, _delivered(info))


async def test_whoever_is_passed_a_command_settles_it(
    streams: Bus, other: Bus, deliveries: Deliveries
) -> None:
    """It comes as it was, and its ack ends it; the one who was given it does nothing."""
    here, there = Worker(streams, "here", home="there"), Worker(other, "there")
    async with working(there, pulls=here):
        sent = await _publish(streams, "a", "b", Abbotik_Reply="_INBOX.x")
        assert await deliveries.until_settled() == 2
    assert here.handled == []
    assert there.handled == [(subject, b"x") for subject in sent]
    assert {name for headers in there.headers for name in headers} == {HEADER_REPLY, "Nats-Msg-Id"}


async def test_a_command_at_home_stays(streams: Bus, other: Bus, deliveries: Deliveries) -> None:
    """Where the home is here nothing is passed on."""
    here, there = Worker(streams, "here"), Worker(other, "there")
    async with working(there, pulls=here):
        await _publish(streams, "a")
        await deliveries.until_settled()
    assert (len(here.handled), there.handled) == (1, [])


async def test_where_nobody_listens_it_comes_back_at_once(
    streams: Bus, deliveries: Deliveries
) -> None:
    """It is handled here, and was delivered but once: nobody waited for `ack_wait`."""
    here = Worker(streams, "here", home="gone")
    async with working(pulls=here):
        sent = await _publish(streams, *(f"r{number}" for number in range(50)))
        assert await deliveries.until_settled() == 50
    assert sorted(subject for subject, _ in here.handled) == sorted(sent)


async def test_who_has_stopped_is_passed_nothing(
    streams: Bus, other: Bus, deliveries: Deliveries
) -> None:
    """From its stop on, commands come back to who was given them."""
    here, there = Worker(streams, "here", home="there"), Worker(other, "there")
    async with working(there, pulls=here):
        await there.passing.stop()
        await other.barrier()
        await _publish(streams, "a")
        assert await deliveries.until_settled() == 1
    assert (len(here.handled), there.handled) == (1, [])


async def test_what_is_lost_with_its_taker_is_delivered_again_and_kept(
    streams: Bus, other: Bus, deliveries: Deliveries
) -> None:
    """It is not passed on twice."""
    here = Worker(streams, "here", home="there")
    lost = list[Msg]()
    deaf = Passing(other, worker_commands("there"), lost.append)
    await deaf.start()
    await other.barrier()
    async with working(pulls=here):
        await _publish(streams, "a")
        assert await deliveries.until_settled() == 2
    await deaf.stop()
    assert (len(lost), len(here.handled)) == (1, 1)


async def test_a_taker_without_a_place_gives_it_back(
    streams: Bus, other: Bus, deliveries: Deliveries
) -> None:
    """It is delivered again, and whoever gets it then keeps it."""
    here = Worker(streams, "here", home="there")
    handled = list[Msg]()

    async def handle(message: Msg) -> None:
        handled.append(message)

    full = PullLoop(other, COMMANDS, handle, capacity=lambda: 0)
    there = Passing(other, worker_commands("there"), full.take)
    await there.start()
    await other.barrier()
    async with working(pulls=here):
        await _publish(streams, "a")
        assert await deliveries.until_settled() == 2
    await there.stop()
    assert await full.drained(5)
    assert (handled, len(here.handled)) == ([], 1)


async def test_what_has_another_form_is_left_to_who_decides(
    streams: Bus, other: Bus, deliveries: Deliveries
) -> None:
    """A subject that names no room, and a command that is larger than gateways send, stay here."""
    here, there = Worker(streams, "here", home="there"), Worker(other, "there")
    async with working(there, pulls=here):
        for subject in ("cmd.room.odd", "cmd.room.a.b.c.d"):
            await streams.publish_stored(subject, b"{}", message_id=f"{id(here)}-{subject}")
        await _publish(streams, "large", data=bytes(64 * 1024 + 1))
        await _publish(streams, "headers", data=bytes(40 * 1024), large="x" * 40 * 1024)
        assert await deliveries.until_settled() == 4
    assert (len(here.handled), there.handled) == (4, [])


async def test_a_home_with_an_odd_name_costs_nothing(streams: Bus, deliveries: Deliveries) -> None:
    """A session that cannot be a subject: its commands are decided here, at once."""
    here = Worker(streams, "here", home="no.token")
    async with working(pulls=here):
        await _publish(streams, "a")
        assert await deliveries.until_settled() == 1
    assert len(here.handled) == 1


async def test_what_nobody_passed_on_is_no_command(
    streams: Bus, other: Bus, deliveries: Deliveries
) -> None:
    """A message without its headers is dropped, and the next one is taken."""
    here, there = Worker(streams, "here", home="there"), Worker(other, "there")
    async with working(there, pulls=here):
        await streams.publish(worker_commands("there"), b"x", {"odd": "1"})
        await _publish(streams, "a")
        assert await deliveries.until_settled() == 1
    assert len(there.handled) == 1


async def test_nothing_is_sent_before_it_hears_itself(streams: Bus) -> None:
    """Not before its start, nor over a connection on which its call has not come."""
    passing = Passing(streams, "ctl.worker.here", lambda _: None)
    message = Msg(streams.client, "cmd.x", "ack", b"x")
    assert not await passing.send(message, "ctl.worker.there")
    await passing.start()
    await streams.barrier()
    assert await passing.send(message, "ctl.worker.there")
    streams.epoch += 1
    assert not await passing.send(message, "ctl.worker.there")
    streams.epoch -= 1
    await passing.stop()


async def test_it_starts_while_the_bus_is_away(
    own_nats: tuple[Child, str], settings: ServiceSettings
) -> None:
    """It passes on once the connection is back."""
    server, url = own_nats
    bus = await Bus.open(settings.model_copy(update={"nats_url": url}), "test")
    server.kill()
    await eventually(lambda: not bus.connected)
    passing = Passing(bus, "ctl.worker.here", lambda _: None)
    await passing.start()
    server.start()
    message = Msg(bus.client, "cmd.x", "ack", b"x")
    await eventually(lambda: passing.send(message, "ctl.worker.here"))
    await bus.close()


async def test_what_nobody_says_to_have_taken_is_handled_here(
    streams: Bus, other: Bus, deliveries: Deliveries
) -> None:
    """As where its home is paused: nobody waits until the stream delivers it again."""
    here, lost = Worker(streams, "here", home="there"), list[Msg]()
    await hear(other.client, worker_commands("there"), lost.append)
    await other.barrier()
    async with working(pulls=here):
        sent = await _publish(streams, "a", "b", "c")
        assert await deliveries.until_settled() == 3
    assert len(lost) == 3
    assert sorted(subject for subject, _ in here.handled) == sent


async def test_only_so_many_are_on_their_way(
    streams: Bus, other: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be one too many stays; the others come back in order when nobody takes them."""
    monkeypatch.setattr(module, "_MOST", 3)
    back, lost = list[bytes](), list[Msg]()
    passing = Passing(streams, "ctl.worker.here", lambda message: back.append(message.data))
    await passing.start()
    await streams.barrier()
    await hear(other.client, "ctl.worker.there", lost.append)
    await other.barrier()
    sent = [
        await passing.send(Msg(streams.client, "cmd.x", "ack", b"%d" % number), "ctl.worker.there")
        for number in range(4)
    ]
    assert sent == [True, True, True, False]
    await eventually(lambda: back == [b"0", b"1", b"2"])
    assert len(lost) == 3
    await passing.stop()


async def test_what_was_taken_does_not_come_back(
    streams: Bus, other: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its taker says so, and its sender forgets it."""
    monkeypatch.setattr(module, "_MOST", 1)
    back, taken = list[Msg](), list[bytes]()
    passing = Passing(streams, "ctl.worker.here", back.append)
    there = Passing(other, "ctl.worker.there", lambda message: taken.append(message.data))
    for one, bus in ((passing, streams), (there, other)):
        await one.start()
        await bus.barrier()
    for number in range(10):
        message = Msg(streams.client, "cmd.x", "ack", b"%d" % number)
        await eventually(partial(passing.send, message, "ctl.worker.there"))
    await eventually(lambda: len(taken) == 10)
    assert (taken, back) == ([b"%d" % number for number in range(10)], [])
    await there.stop()
    await passing.stop()


async def test_without_a_connection_nothing_is_passed_on(
    own_nats: tuple[Child, str], settings: ServiceSettings
) -> None:
    """It stays here; after the reconnect it can be passed on again."""
    server, url = own_nats
    bus = await Bus.open(settings.model_copy(update={"nats_url": url}), "test")
    await provision_streams(bus.js)
    taken = list[Msg]()
    passing = Passing(bus, "ctl.worker.here", taken.append)
    await passing.start()
    await bus.barrier()
    message = Msg(bus.client, "cmd.x", "ack", b"x")
    server.kill()
    await eventually(lambda: not bus.connected)
    assert not await passing.send(message, "ctl.worker.here")
    server.start()
    await eventually(lambda: passing.send(message, "ctl.worker.here"))
    await eventually(lambda: [one.data for one in taken] == [b"x"])
    await bus.close()
