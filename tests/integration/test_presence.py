"""Workers that tell each other that they are there, over a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest

from abbotik_contracts.subjects import WORKERS_HERE
from abbotik_room_worker.adapters.presence import Presence
from abbotik_room_worker.homes import Homes
from abbotik_room_worker.ports import Sessions
from abbotik_runtime.bus import Bus
from abbotik_runtime.hearing import hear
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.servers import Child

ROOMS = [("tenant", str(number)) for number in range(100)]


class Session:
    """A session that is live as long as a test says so."""

    live = True


class Worker:
    """One worker's word and ear."""

    def __init__(self, bus: Bus, name: str) -> None:
        self.now = 0.0
        self.session = Session()
        self.homes = Homes(name, lambda _: False)
        self.presence = Presence(bus, self.homes, cast("Sessions", self.session), lambda: self.now)

    @property
    def elsewhere(self) -> set[str | None]:
        """Return where rooms are at home."""
        return {self.homes.elsewhere(room) for room in ROOMS}


@pytest.fixture
async def two(settings: ServiceSettings, streams: Bus) -> AsyncIterator[list[Worker]]:
    """Yield two workers that listen, each over a connection of its own."""
    other = await Bus.open(settings, "other")
    workers = [Worker(streams, "one"), Worker(other, "two")]
    for worker in workers:
        await worker.presence.listen()
    await other.barrier()
    await streams.barrier()
    yield workers
    await other.close()


async def _know_each_other(*workers: Worker) -> bool:
    for worker in workers:
        await worker.presence.say()
    return [worker.elsewhere for worker in workers] == [{None, "two"}, {None, "one"}]


async def test_workers_hear_of_each_other(two: list[Worker]) -> None:
    """Each knows which rooms are at home at the other one."""
    await eventually(lambda: _know_each_other(*two))


async def test_who_cannot_renew_its_session_is_not_heard(two: list[Worker]) -> None:
    """All rooms are at home at the other one then, until it can again."""
    one, other = two
    await eventually(lambda: _know_each_other(*two))
    other.session.live = False

    async def left() -> bool:
        for worker in two:
            await worker.presence.say()
        return one.elsewhere == {None} and other.elsewhere == {"one"}

    await eventually(left)
    other.session.live, other.now = True, 5.0
    await eventually(lambda: _know_each_other(*two))


async def test_who_does_not_hear_itself_says_it_seldom(streams: Bus) -> None:
    """As where the server forbids it, and the client logs each try."""
    said = list[bytes]()
    await hear(streams.client, WORKERS_HERE, lambda message: said.append(message.data))
    worker = Worker(streams, "one")
    for worker.now in (0.0, 0.25, 4.99, 5.0, 9.9):
        await worker.presence.say()
    await streams.barrier()
    assert said == [b"one", b"one"]


async def test_what_is_no_session_is_not_heard(two: list[Worker], streams: Bus) -> None:
    """Nobody can make commands go to an address that is none."""
    for data in (b"no.session", b"*", b"", b"\xff"):
        await streams.publish(WORKERS_HERE, data)
    await streams.barrier()
    assert two[0].elsewhere == {None}


async def test_presence_outlives_the_connection(
    own_nats: tuple[Child, str], settings: ServiceSettings
) -> None:
    """Without one nothing is said; with the next one all is as before."""
    server, url = own_nats
    bus = await Bus.open(settings.model_copy(update={"nats_url": url}), "test")
    worker = Worker(bus, "one")
    await worker.presence.listen()
    await worker.presence.say()
    await eventually(lambda: worker.homes.hears_itself)
    server.kill()
    await eventually(lambda: not bus.connected)

    async def forgotten() -> bool:
        await worker.presence.say()
        return not worker.homes.hears_itself

    await eventually(forgotten)
    server.start()
    await eventually(lambda: bus.connected)
    await worker.presence.say()
    await eventually(lambda: worker.homes.hears_itself)
    await bus.close()
