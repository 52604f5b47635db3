"""The pull loop against a real server: bounded, resuming, giving back, and parked or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from nats.aio.msg import Msg

from abbotik_contracts.subjects import CONSUMERS, Consumer
from abbotik_kernel.outcome import Done, Retry
from abbotik_runtime.acks import settle
from abbotik_runtime.bus import Bus
from abbotik_runtime.provision import provision_streams
from abbotik_runtime.pull import PullLoop
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.servers import Child

TURNS = next(consumer for consumer in CONSUMERS if consumer.stream == "TURNS")


class Seen:
    """Handles messages by acknowledging them, and remembers their subjects."""

    def __init__(self, bus: Bus) -> None:
        self.subjects: list[str] = []
        self._bus = bus

    async def handle(self, message: Msg) -> None:
        """Remember and acknowledge."""
        self.subjects.append(message.subject)
        await settle(message, Done(), service="room-worker", bus=self._bus)


@asynccontextmanager
async def pulling(
    bus: Bus,
    handle: Callable[[Msg], Awaitable[None]],
    *,
    capacity: int | Callable[[], int] = 100,
    consumer: Consumer = TURNS,
) -> AsyncIterator[PullLoop]:
    """Run a pull loop for the block."""
    loop = PullLoop(bus, consumer, handle, capacity=capacity)
    loop.start()
    try:
        yield loop
    finally:
        await loop.stop()
        assert await loop.drained(5)


async def _publish(bus: Bus, count: int, start: int = 0) -> list[str]:
    subjects = [f"turn.tenant.room{n}" for n in range(start, start + count)]
    await asyncio.gather(
        *(
            bus.publish_stored(subject, b"", message_id=f"{id(bus)}-{subject}")
            for subject in subjects
        )
    )
    return subjects


async def _all_settled(bus: Bus) -> bool:
    info = await bus.js.consumer_info("TURNS", "turns")
    return not info.num_pending and not info.num_ack_pending


async def test_each_message_is_handled_once(streams: Bus) -> None:
    """What was there before and what comes while it pulls is handed over, each message once."""
    seen = Seen(streams)
    before = await _publish(streams, 50)
    async with pulling(streams, seen.handle):
        after = await _publish(streams, 500, start=50)
        await eventually(lambda: len(seen.subjects) == 550)
    assert sorted(seen.subjects) == sorted(before + after)
    await eventually(lambda: _all_settled(streams))


async def test_a_number_bounds_the_handlers(streams: Bus) -> None:
    """With a capacity of 3 never more than 3 handlers run, and nothing is asked for beyond."""
    running = most = done = 0

    async def handle(message: Msg) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await streams.client.flush()
        await settle(message, Done(), service="room-worker", bus=streams)
        running -= 1
        done += 1

    await _publish(streams, 60)
    async with pulling(streams, handle, capacity=3):
        await eventually(lambda: done == 60)
    assert most == 3


async def test_free_places_bound_the_handlers(streams: Bus) -> None:
    """A callable is asked for the places that are free, and only so many messages are taken."""
    free = 2
    taken: list[Msg] = []

    async def handle(message: Msg) -> None:
        nonlocal free
        free -= 1
        taken.append(message)

    await _publish(streams, 5)
    async with pulling(streams, handle, capacity=lambda: free) as loop:
        await eventually(lambda: len(taken) == 2)
        info = await streams.js.consumer_info("TURNS", "turns")
        assert (info.num_ack_pending, info.num_pending) == (2, 3)
        for message in taken:
            await settle(message, Done(), service="room-worker", bus=streams)
        free = 1
        loop.wake()
        await eventually(lambda: len(taken) == 3)
        assert free == 0


async def test_requests_are_withdrawn_when_the_places_are_gone(streams: Bus) -> None:
    """Places that were taken otherwise stop a waiting request from drawing messages away."""
    full = False
    busy, idle = Seen(streams), Seen(streams)
    async with pulling(streams, busy.handle, capacity=lambda: 0 if full else 10) as crowded:
        await eventually(lambda: crowded.parked)
        full = True
        crowded.wake()
        await eventually(lambda: not crowded.parked)
        async with pulling(streams, idle.handle):
            subjects = await _publish(streams, 20)
            await eventually(lambda: len(idle.subjects) == 20, within_s=1.5)
    assert (busy.subjects, sorted(idle.subjects)) == ([], sorted(subjects))


async def test_a_message_without_a_place_goes_elsewhere(streams: Bus) -> None:
    """A message that meets no free place is given back at once, not held until it times out."""
    full = False
    busy, idle = Seen(streams), Seen(streams)
    async with pulling(streams, busy.handle, capacity=lambda: 0 if full else 10) as crowded:
        await eventually(lambda: crowded.parked)
        full = True  # and nobody wakes the loop: its request still lies there
        await _publish(streams, 1)
        async with pulling(streams, idle.handle):
            await eventually(lambda: idle.subjects, within_s=1.5)
    assert busy.subjects == []


async def test_parked_only_while_there_is_nothing(streams: Bus) -> None:
    """True once the server had nothing to give; False from a delivery until that is so again."""
    parked_at_delivery: list[bool] = []

    async def handle(message: Msg) -> None:
        parked_at_delivery.append(loop.parked)
        await settle(message, Done(), service="room-worker", bus=streams)

    async with pulling(streams, handle) as loop:
        assert not loop.parked
        await eventually(lambda: loop.parked)
        await _publish(streams, 20)
        await eventually(lambda: len(parked_at_delivery) == 20)
        await eventually(lambda: loop.parked)
    assert not any(parked_at_delivery)
    assert not loop.parked


async def test_not_parked_without_a_place(streams: Bus) -> None:
    """Who asks for nothing does not know whether there is something."""
    free = 0
    async with pulling(streams, Seen(streams).handle, capacity=lambda: free) as loop:
        await streams.client.flush()
        assert not loop.parked
        free = 1
        loop.wake()
        await eventually(lambda: loop.parked)


async def test_not_parked_while_more_waits_than_there_are_places(streams: Bus) -> None:
    """While messages wait for a place, none of the looks finds it parked."""
    looks: list[bool] = []

    async def handle(message: Msg) -> None:
        await streams.client.flush()
        looks.append(loop.parked)
        await settle(message, Done(), service="room-worker", bus=streams)

    await _publish(streams, 200)
    async with pulling(streams, handle, capacity=4) as loop:
        await eventually(lambda: len(looks) == 200)
        await eventually(lambda: loop.parked)
    assert not any(looks[:190])


async def test_stop_gives_back_what_was_not_handed_over(streams: Bus) -> None:
    """Messages that were delivered and not started come to another loop long before `ack_wait`."""
    first: list[str] = []
    second = Seen(streams)

    async def stops_at_once(message: Msg) -> None:
        first.append(message.subject)
        await settle(message, Done(), service="room-worker", bus=streams)
        await loop.stop()

    await _publish(streams, 200)
    loop = PullLoop(streams, TURNS, stops_at_once, capacity=256)
    loop.start()
    await eventually(lambda: first)
    async with pulling(streams, second.handle):
        await eventually(lambda: len(second.subjects) == 199, within_s=1.5)
    assert len(first) == 1
    assert await loop.drained(5)


async def test_stop_leaves_running_handlers_alone(streams: Bus) -> None:
    """A handler under way goes on after `stop`; `drained` says when it has ended."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def handle(message: Msg) -> None:
        begun.set()
        await go.wait()
        await settle(message, Done(), service="room-worker", bus=streams)

    await _publish(streams, 1)
    loop = PullLoop(streams, TURNS, handle, capacity=1)
    loop.start()
    await begun.wait()
    await loop.stop()
    assert not await loop.drained(0.01)
    go.set()
    assert await loop.drained(5)
    await eventually(lambda: _all_settled(streams))


async def test_a_handler_that_raises_gets_its_message_again(streams: Bus) -> None:
    """An error of a handler costs a second, not the message and not the loop."""
    attempts: list[int] = []

    async def handle(message: Msg) -> None:
        attempts.append(message.metadata.num_delivered)
        if len(attempts) == 1:
            raise ValueError("the first time")
        await settle(message, Done(), service="room-worker", bus=streams)

    await _publish(streams, 1)
    async with pulling(streams, handle):
        await eventually(lambda: attempts == [1, 2])
    assert b'abbotik_handler_errors_total{consumer="turns"} 1.0' in streams.metrics.exposition()


async def test_retry_delivers_again_after_the_delay(streams: Bus) -> None:
    """A message that is to be tried again comes after its delay, not before."""
    times: list[float] = []

    async def handle(message: Msg) -> None:
        times.append(asyncio.get_running_loop().time())
        outcome = Done() if len(times) == 2 else Retry(0.4)
        await settle(message, outcome, service="room-worker", bus=streams)

    await _publish(streams, 1)
    async with pulling(streams, handle):
        await eventually(lambda: len(times) == 2)
    assert 0.35 < times[1] - times[0] < 1.9


async def test_pulling_resumes_after_a_restart_of_the_server(own_nats: tuple[Child, str]) -> None:
    """A killed and restarted server delivers again at once, to the same loop."""
    server, url = own_nats
    bus = await Bus.open(ServiceSettings(nats_url=url), "test")
    await provision_streams(bus.js)
    seen = Seen(bus)
    async with pulling(bus, seen.handle) as loop:
        await eventually(lambda: loop.parked)
        server.kill()
        await eventually(lambda: not bus.connected)
        assert not loop.parked
        server.start()
        await eventually(lambda: bus.connected)
        await _publish(bus, 10)
        await eventually(lambda: len(seen.subjects) == 10, within_s=3)
        await eventually(lambda: loop.parked)
        assert await loop.check() is None
    await bus.close()


async def test_pulling_may_begin_before_the_server_is_there(own_nats: tuple[Child, str]) -> None:
    """A loop that was started while NATS is away delivers once it is there."""
    server, url = own_nats
    provisioning = await Bus.open(ServiceSettings(nats_url=url), "test")
    await provision_streams(provisioning.js)
    await provisioning.close()
    server.kill()
    bus = Bus(ServiceSettings(nats_url=url), "test")
    seen = Seen(bus)
    async with pulling(bus, seen.handle):
        connecting = asyncio.create_task(bus.connect())
        server.start()
        await connecting
        await _publish(bus, 3)
        await eventually(lambda: len(seen.subjects) == 3)
    await bus.close()


@pytest.mark.parametrize("waiting", [True, False], ids=["while it waits", "before it asks"])
async def test_a_deleted_consumer_is_told_and_overcome(streams: Bus, *, waiting: bool) -> None:
    """Without its consumer the loop says so, and goes on by itself when it is there again."""
    seen = Seen(streams)
    if not waiting:
        await streams.js.delete_consumer("TURNS", "turns")
    async with pulling(streams, seen.handle) as loop:
        if waiting:
            await eventually(lambda: loop.parked)
            await streams.js.delete_consumer("TURNS", "turns")
        await eventually(loop.check)
        assert not loop.parked
        await provision_streams(streams.js)
        await _publish(streams, 2)
        await eventually(lambda: len(seen.subjects) == 2)
        assert await loop.check() is None


async def test_two_loops_share_the_messages(streams: Bus) -> None:
    """Two loops on one consumer get each message once between them."""
    one, two = Seen(streams), Seen(streams)
    async with pulling(streams, one.handle, capacity=5), pulling(streams, two.handle, capacity=5):
        subjects = await _publish(streams, 300)
        await eventually(lambda: len(one.subjects) + len(two.subjects) == 300)
    assert sorted(one.subjects + two.subjects) == sorted(subjects)
    assert one.subjects
    assert two.subjects
