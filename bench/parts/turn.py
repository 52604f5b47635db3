"""What the room worker's own code takes for one turn: `python -m bench.parts.turn`.

From the bytes of a command to the events of the turn's end, with everything encoded that leaves.
MongoDB and NATS take all of it at once; 20 rooms share each insert.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from abbotik_contracts.providers import SCRIPTED
from abbotik_contracts.room_bodies import MessageBody, RentBody
from abbotik_contracts.room_commands import PostMessage, RentRoom, RoomCommand, encode, verb
from abbotik_contracts.subjects import HEADER_REPLY, room_command
from abbotik_kernel.clock import SystemClock
from abbotik_room_worker.adapters.exceptions import MongoExceptions
from abbotik_room_worker.adapters.projections import MongoProjections
from abbotik_room_worker.adapters.replies import NatsReplies
from abbotik_room_worker.adapters.room_log import MongoContents, MongoRoomLog
from abbotik_room_worker.adapters.signals import NatsSignals
from abbotik_room_worker.executors.scripted import ScriptedExecutor
from abbotik_room_worker.handlers import Installation, RoomCommands
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.performer import Performer
from abbotik_room_worker.progress import Progress
from abbotik_room_worker.runner import TurnRunner
from abbotik_runtime import logs
from abbotik_runtime.bus import Bus
from abbotik_runtime.ids import uuid7
from abbotik_runtime.metrics import Metrics
from bench.parts.rounds import ROUNDS, cost_us, run, until
from tests.fakes.room_worker.clock import ManualClock
from tests.fakes.room_worker.sessions import FakeSessions
from tests.fakes.room_worker.store import MemoryStore

ROOMS = 20
BATCHES = 100
Document = dict[str, Any]
# Subject, data, headers.
Delivery = tuple[str, bytes, dict[str, str]]


class Database(AsyncDatabase[Document]):
    """Confirms what is written; nothing is in it."""

    async def command(self, command: Any, *_: Any, **__: Any) -> Any:  # noqa: ANN401  as the driver has it
        """Confirm after one round of the loop, as everything takes at least."""
        await asyncio.sleep(0)
        return {"ok": 1, "n": len(command.get("documents") or command["updates"])}

    def get_collection(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401  the same
        """Return a collection in which nothing is found."""
        return Empty()


class Empty:
    """A collection without documents."""

    async def find_one(self, *_: object, **__: object) -> None:
        """Find nothing."""


class Ears:
    """A bus that counts the turns whose end it was told of."""

    connected = True

    def __init__(self) -> None:
        self.metrics = Metrics("bench")
        self.ends = 0

    async def publish(
        self, subject: str, data: bytes, _headers: Mapping[str, str] | None = None
    ) -> None:
        """Take a message."""
        self.metrics.published_core(subject)
        self.ends += b'"actor:turn_end"' in data


async def worker(ears: Ears) -> RoomCommands:
    """Compose a worker from its real parts, without its pulls and loops."""
    bus = cast("Bus", ears)
    database = Database(AsyncMongoClient[Document](connect=False), "bench")
    room_log, contents = MongoRoomLog(database, uuid7()), MongoContents(database)
    signals, clock, progress = NatsSignals(bus), SystemClock(), Progress()
    # Its clock stands still: once renewed, the session lives.
    session = FakeSessions(MemoryStore(), room_log.session, progress, ManualClock())
    await session.renew()
    keeper = RoomKeeper(room_log, MongoProjections(database), signals, session, progress, clock)
    performer = Performer(
        keeper=keeper,
        room_log=room_log,
        contents=contents,
        signals=signals,
        sessions=session,
        clock=clock,
        executors={SCRIPTED.id: ScriptedExecutor()},
        tools={},
    )
    runner = TurnRunner(
        keeper,
        performer,
        signals,
        session,
        slots=ROOMS,
        turn_timeout_ms=60_000,
        rooms_wait=lambda: False,
    )
    keeper.noticed = runner.noticed
    installation = Installation(SCRIPTED.id, SCRIPTED.models[0], max_queue=64)
    return RoomCommands(
        keeper, runner, contents, MongoExceptions(database), NatsReplies(bus).tell, installation
    )


def delivery(command: RoomCommand) -> Delivery:
    """Return what the queue gives a worker of a command."""
    subject = room_command(command.tenant, command.room, verb(command))
    return subject, encode(command), {HEADER_REPLY: "inbox"}


async def measure() -> None:
    """Print it."""
    logs.configure("bench", "info", "json")
    ears = Ears()
    commands = await worker(ears)
    rooms = [uuid7() for _ in range(ROOMS)]
    under_way: set[asyncio.Task[Any]] = set()

    def ids(room: str) -> dict[str, Any]:
        said = {"tenant": "dev", "room": room, "caller": "dev"}
        return {**said, "id": uuid7(), "request_id": uuid7()}

    def deliver(message: Delivery) -> asyncio.Task[Any]:
        handled = asyncio.ensure_future(commands.handle(*message))
        under_way.add(handled)
        handled.add_done_callback(under_way.discard)
        return handled

    for room in rooms:
        await deliver(delivery(RentRoom(**ids(room), body=RentBody())))
    body = MessageBody(content="one small message of a person")
    messages = iter(
        [
            [delivery(PostMessage(**ids(room), body=body)) for room in rooms]
            for _ in range(BATCHES * ROUNDS)
        ]
    )

    async def batch() -> None:
        wanted = ears.ends + ROOMS
        for message in next(messages):
            deliver(message)
        await until(lambda: ears.ends == wanted)

    print(f"the room worker: {await cost_us(batch, BATCHES) / ROOMS:.1f} us a turn")


if __name__ == "__main__":
    run(measure())
