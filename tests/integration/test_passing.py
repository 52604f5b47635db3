"""Passing commands on, over a real server: taken and settled there, or back at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.msg import Msg

from abbotik_contracts.subjects import CONSUMERS, HEADER_REPLY
from abbotik_kernel.outcome import Done, Retry
from abbotik_runtime import passing as module
from abbotik_runtime.acks import settle
from abbotik_runtime.bus import Bus
from abbotik_runtime.inbox import is_redelivered
from abbotik_runtime.passing import Passing
from abbotik_runtime.provision import provision_streams
from abbotik_runtime.pull import PullLoop
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.servers import Child

COMMANDS = next(consumer for consumer in CONSUMERS if consumer.name == "room-worker")
HERE, THERE = "ctl.worker.here", "ctl.worker.there"


@pytest.fixture
async def other(settings: ServiceSettings, streams: Bus) -> AsyncIterator[Bus]:
    """Yield another process's connection to the same server."""
    assert streams.connected
    bus = await Bus.open(settings, "other")
    yield bus
    await bus.close()


class Worker:
    """Pulls commands, or only takes them; keeps what it handled and does ``outcome`` with it."""

    def __init__(self, bus: Bus, name: str, passes_to: str | None = None) -> None:
        self.handled: list[Msg] = []
        self.outcome: Done | Retry = Done()
        self._bus = bus
        self._passes_to = passes_to
        self.pull = PullLoop(bus, COMMANDS, self._handle, capacity=100, pass_on=self._pass_on)
        self.passing = Passing(bus, name, self.pull.take)

    async def _handle(self, message: Msg) -> None:
        self.handled.append(message)
        await settle(message, self.outcome, service="room-worker", bus=self._bus)

    async def _pass_on(self, message: Msg) -> bool:
        if self._passes_to is None or is_redelivered(message.reply):
            return False
        return await self.passing.on(message, self._passes_to)


@asynccontextmanager
async def working(*workers: Worker, pulls: Worker) -> AsyncIterator[None]:
    """Have all of them listen, and one pull, for the block."""
    for worker in workers:
        await worker.passing.start()
    await pulls.passing.start()
    pulls.pull.start()
    try:
        yield
    finally:
        for worker in (pulls, *workers):
            await asyncio.gather(worker.passing.stop(), worker.pull.stop())
            assert await worker.pull.drained(5)


async def _publish(bus: Bus, *rooms: str, headers: dict[str, str] | None = None) -> None:
    for room in rooms:
        subject = f"cmd.room.tenant.{room}.message"
        identity = f"{id(bus)}-{room}"
        await bus.publish_stored(subject, room.encode(), message_id=identity, headers=headers)


async def _empty(bus: Bus) -> bool:
    info = await bus.js.consumer_info(COMMANDS.stream, COMMANDS.name)
    return not info.num_pending and not info.num_ack_pending


async def test_whoever_is_passed_a_message_settles_it(streams: Bus, other: Bus) -> None:
    """It comes as it was, and its ack ends it; the one who was given it does nothing."""
    here, there = Worker(streams, HERE, passes_to=THERE), Worker(other, THERE)
    async with working(there, pulls=here):
        await _publish(streams, "a", "b", headers={HEADER_REPLY: "_INBOX.x"})
        await eventually(lambda: len(there.handled) == 2)
        await eventually(lambda: _empty(streams))
    assert here.handled == []
    first = there.handled[0]
    assert (first.subject, first.data) == ("cmd.room.tenant.a.message", b"a")
    assert first.headers is not None
    assert first.headers[HEADER_REPLY] == "_INBOX.x"
    assert not [name for name in first.headers if name in ("Abbotik-Subject", "Abbotik-Ack")]
    assert first.metadata.sequence.stream == 1


async def test_where_nobody_listens_it_comes_back_at_once(streams: Bus) -> None:
    """It is handled here, and was delivered but once: nobody waited for `ack_wait`."""
    here = Worker(streams, HERE, passes_to=THERE)
    async with working(pulls=here):
        await _publish(streams, *(f"r{number}" for number in range(50)))
        await eventually(lambda: len(here.handled) == 50)
        await eventually(lambda: _empty(streams))
    assert {message.metadata.num_delivered for message in here.handled} == {1}


async def test_who_has_stopped_is_passed_nothing(streams: Bus, other: Bus) -> None:
    """From its stop on, messages come back to who was given them."""
    here, there = Worker(streams, HERE, passes_to=THERE), Worker(other, THERE)
    async with working(there, pulls=here):
        await there.passing.stop()
        await _publish(streams, "a")
        await eventually(lambda: len(here.handled) == 1)
        assert here.handled[0].metadata.num_delivered == 1
    assert there.handled == []


async def test_what_is_lost_with_its_taker_is_delivered_again_and_kept(
    streams: Bus, other: Bus
) -> None:
    """A taker that never settles it: the stream gives it again, and it is not passed on twice."""
    here = Worker(streams, HERE, passes_to=THERE)
    lost = list[Msg]()
    deaf = Passing(other, THERE, lost.append)
    await deaf.start()
    async with working(pulls=here):
        await _publish(streams, "a")
        await eventually(lambda: len(here.handled) == 1)
        await eventually(lambda: _empty(streams))
    await deaf.stop()
    assert len(lost) == 1
    assert here.handled[0].metadata.num_delivered == 2


async def test_a_taker_without_a_place_gives_it_back(streams: Bus, other: Bus) -> None:
    """It is delivered again, and whoever gets it then keeps it."""
    here = Worker(streams, HERE, passes_to=THERE)
    full = PullLoop(other, COMMANDS, _never, capacity=lambda: 0)
    there = Passing(other, THERE, full.take)
    await there.start()
    async with working(pulls=here):
        await _publish(streams, "a")
        await eventually(lambda: len(here.handled) == 1)
    await there.stop()
    assert await full.drained(5)
    assert here.handled[0].metadata.num_delivered == 2


async def _never(message: Msg) -> None:
    raise AssertionError(f"{message.subject} was handled without a place")


async def test_only_so_many_are_kept(
    streams: Bus, other: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken long ago is forgotten here; what is refused now is not."""
    monkeypatch.setattr(module, "_MOST", 3)
    back = list[Msg]()
    passing = Passing(streams, HERE, back.append)
    await passing.start()
    taken = list[Msg]()
    there = Passing(other, THERE, taken.append)
    await there.start()
    await other.barrier()
    for number in range(10):
        assert await passing.on(Msg(streams.client, "cmd.x", "ack", b"%d" % number), THERE)
    await eventually(lambda: len(taken) == 10)
    assert len(passing._under_way) == 3
    assert await passing.on(Msg(streams.client, "cmd.x", "ack", b"back"), "ctl.worker.nobody")
    await eventually(lambda: [message.data for message in back] == [b"back"])
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
    passing = Passing(bus, HERE, taken.append)
    await passing.start()
    message = Msg(bus.client, "cmd.x", "ack", b"x")
    server.kill()
    await eventually(lambda: not bus.connected)
    assert not await passing.on(message, HERE)
    server.start()
    await eventually(lambda: bus.connected)
    assert await passing.on(message, HERE)
    await eventually(lambda: [one.data for one in taken] == [b"x"])
    await bus.close()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("$JS.ACK.COMMANDS.room-worker.1.7.8.1795826146733.0", False),
        ("$JS.ACK.COMMANDS.room-worker.2.7.8.1795826146733.0", True),
        ("$JS.ACK.hub.acc.COMMANDS.room-worker.1.7.8.1795826146733.0.x", False),
        ("$JS.ACK.hub.acc.COMMANDS.room-worker.11.7.8.1795826146733.0.x", True),
    ],
)
def test_a_message_tells_how_often_it_was_delivered(reply: str, *, expected: bool) -> None:
    """Also behind a domain, where the subject has more tokens."""
    assert is_redelivered(reply) is expected
