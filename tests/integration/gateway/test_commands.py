"""Commands over a real NATS server, answered by a stand-in for the worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from abbotik_contracts.room_bodies import MessageBody
from abbotik_contracts.room_commands import PostMessage, decode
from abbotik_contracts.subjects import HEADER_BLOB, HEADER_MESSAGE_ID, HEADER_REPLY
from abbotik_gateway.adapters.commands import BusCommands
from abbotik_gateway.domain.outcome import Outcome
from abbotik_gateway.ports import UnavailableError, UnconfirmedError
from abbotik_runtime.blobs import Blobs
from abbotik_runtime.bus import Bus
from abbotik_runtime.ids import uuid7
from abbotik_runtime.mongo import Database
from abbotik_runtime.provision import provision_streams
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.servers import Child

Answer = Callable[[Msg], bytes | None]


def command_of(heard: Msg) -> str:
    """Return the command's id, which a large one does not have in its message."""
    return Worker.header(heard, HEADER_MESSAGE_ID).partition(":")[0]


def says(outcome: dict[str, Any]) -> Answer:
    """Return what answers any command with an outcome."""
    return lambda heard: orjson.dumps({"command": command_of(heard), **outcome})


Lonely = tuple[Child, "BusCommands", "Worker"]


def message(content: str = "hello") -> PostMessage:
    """Return a command."""
    return PostMessage(
        id=uuid7(),
        tenant="acme",
        room=uuid7(),
        caller="ada",
        request_id="r-1",
        body=MessageBody(content=content),
    )


async def send(
    commands: BusCommands, command: PostMessage, deadline_s: float = 4.8, trace: str | None = None
) -> Outcome:
    """Send a command."""
    return await commands.send(command, trace, deadline_s)


class Worker:
    """Hears every command, and answers with what ``answer`` returns, or not at all."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.heard: list[Msg] = []
        self.answer: Answer = says({"ok": True, "data": {"id": "m"}})

    async def start(self) -> None:
        """Begin to hear."""
        await self._bus.client.subscribe("cmd.room.>", cb=self._on_command)
        await self._bus.barrier()

    async def _on_command(self, heard: Msg) -> None:
        self.heard.append(heard)
        data = self.answer(heard)
        if data is not None:
            await self._bus.publish(self.header(heard, HEADER_REPLY), data)

    @staticmethod
    def header(heard: Msg, name: str) -> str:
        """Return a header that must be there."""
        assert heard.headers is not None
        value: str = heard.headers[name]
        return value


@pytest.fixture
async def worker(streams: Bus) -> Worker:
    """Return a running worker."""
    made = Worker(streams)
    await made.start()
    return made


@pytest.fixture
async def commands(
    settings: ServiceSettings, streams: Bus, database: Database
) -> AsyncIterator[BusCommands]:
    """Yield the gateway's end, on a connection of its own."""
    assert streams.connected
    bus = await Bus.open(settings, "gateway")
    made = BusCommands(bus, Blobs(database))
    await made.start()
    yield made
    await bus.close()


async def test_a_command_gets_its_outcome(commands: BusCommands, worker: Worker) -> None:
    """It is stored, says who asks and where to answer, and the answer comes back."""
    command = message()
    outcome = await send(commands, command, trace="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    assert (outcome.ok, outcome.data) == (True, {"id": "m"})
    (heard,) = worker.heard
    assert heard.subject == f"cmd.room.acme.{command.room}.message"
    assert decode(heard.data) == command
    assert worker.header(heard, "x-request-id") == "r-1"
    assert worker.header(heard, "traceparent").startswith("00-aaa")


async def test_outcomes_find_their_askers(commands: BusCommands, worker: Worker) -> None:
    """Many at once, answered in any order, each gets its own."""

    def echo(heard: Msg) -> bytes:
        return says({"ok": True, "data": {"id": decode(heard.data).id}})(heard) or b""

    worker.answer = echo
    asked = [message() for _ in range(100)]
    outcomes = await asyncio.gather(*(send(commands, one) for one in asked))
    assert [outcome.data["id"] for outcome in outcomes] == [one.id for one in asked]


async def test_the_same_command_twice_is_published_twice(
    commands: BusCommands, worker: Worker
) -> None:
    """The stream must not swallow a retry, which the worker alone can answer."""
    command = message()
    await send(commands, command)
    await send(commands, command)
    ids = [worker.header(heard, HEADER_MESSAGE_ID) for heard in worker.heard]
    assert len(set(ids)) == 2
    assert all(one.startswith(command.id) for one in ids)


async def test_a_large_command_travels_by_reference(
    commands: BusCommands, worker: Worker, database: Database
) -> None:
    """Above 64 KiB the message is empty and names what is stored for the tenant."""
    command = message("é" * 100_000)
    await send(commands, command)
    (heard,) = worker.heard
    assert heard.data == b""
    stored = await Blobs(database).get("acme", worker.header(heard, HEADER_BLOB))
    assert stored is not None
    assert decode(stored) == command


async def test_silence_is_unconfirmed(commands: BusCommands, worker: Worker) -> None:
    """No outcome within the deadline: stored, and nobody knows."""
    worker.answer = lambda _message: None
    began = time.monotonic()
    with pytest.raises(UnconfirmedError):
        await send(commands, message(), 0.3)
    assert time.monotonic() - began < 1.0
    assert len(worker.heard) == 1


@pytest.mark.parametrize("answer", [b"nope", b"[]", b"7", b'{"ok":true}', b'{"command":[]}'])
async def test_an_unreadable_outcome_is_unconfirmed(
    commands: BusCommands, worker: Worker, answer: bytes
) -> None:
    """What cannot be read tells no client anything, and the operator that it came."""
    worker.answer = lambda _message: answer
    with capture_logs() as lines, pytest.raises(UnconfirmedError):
        await send(commands, message(), 0.3)
    assert [line["event"] for line in lines] == ["outcome.unreadable"]


async def test_outcomes_share_a_message_a_line_each(commands: BusCommands, worker: Worker) -> None:
    """An unreadable one, and one that nobody waits for, harm none of the others."""
    worker.answer = lambda _message: None
    asked = [message() for _ in range(3)]
    sent = [asyncio.create_task(send(commands, one)) for one in asked]
    await eventually(lambda: len(worker.heard) == 3)
    lines = [orjson.dumps({"command": one.id, "ok": True, "data": {"id": one.id}}) for one in asked]
    lines[1:1] = [b"nope", b'{"command":"nobody","ok":true}']
    await worker._bus.publish(worker.header(worker.heard[0], HEADER_REPLY), b"\n".join(lines))
    outcomes = await asyncio.gather(*sent)
    assert [outcome.data["id"] for outcome in outcomes] == [one.id for one in asked]


async def test_a_late_outcome_harms_nobody(commands: BusCommands, worker: Worker) -> None:
    """An answer after the deadline is dropped, and the next command works."""
    worker.answer = lambda _message: None
    with pytest.raises(UnconfirmedError):
        await send(commands, message(), 0.2)
    late = worker.header(worker.heard[0], HEADER_REPLY)
    gone = command_of(worker.heard[0])
    worker.answer = says({"ok": True, "data": {"id": "new"}})
    await worker._bus.publish(late, b'{"command":"%b","ok":true}' % gone.encode())
    assert (await send(commands, message())).data == {"id": "new"}


async def test_before_nats_is_reached_nothing_is_sent(
    settings: ServiceSettings, database: Database
) -> None:
    """A gateway that has not connected yet says so at once."""
    commands = BusCommands(Bus(settings, "gateway"), Blobs(database))
    assert not commands.ready
    with pytest.raises(UnavailableError):
        await send(commands, message())


@pytest.fixture
async def lonely(
    own_nats: tuple[Child, str], settings: ServiceSettings, database: Database
) -> AsyncIterator[Lonely]:
    """Yield a NATS server that the test may stop, with both ends connected to it."""
    child, url = own_nats
    own = settings.model_copy(update={"nats_url": url})
    gateway, other = await Bus.open(own, "gateway"), await Bus.open(own, "test")
    await provision_streams(gateway.js)
    commands, worker = BusCommands(gateway, Blobs(database)), Worker(other)
    await commands.start()
    await worker.start()
    yield child, commands, worker
    await gateway.close()
    await other.close()


async def test_an_outcome_that_was_lost_with_the_connection_is_asked_for_again(
    lonely: Lonely,
) -> None:
    """After a reconnect the command is published again, and its stored outcome comes."""
    child, commands, worker = lonely
    worker.answer = lambda _message: None
    asked = asyncio.create_task(send(commands, message()))
    await eventually(lambda: worker.heard)
    worker.answer = says({"ok": True, "data": {"id": "stored"}})
    child.kill()
    child.start()
    assert (await asked).data == {"id": "stored"}
    assert len({decode(heard.data).id for heard in worker.heard}) == 1


async def test_nats_away_is_unavailable_and_comes_back(lonely: Lonely) -> None:
    """Within the deadline it is clear that nothing was sent; later all goes on by itself."""
    child, commands, _ = lonely
    child.kill()
    await eventually(lambda: not commands._bus.connected)
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        await send(commands, message(), 1.0)
    assert time.monotonic() - began < 2.0
    child.start()
    await eventually(lambda: commands._bus.connected)

    async def works() -> Any:
        try:
            return (await send(commands, message(), 1.0)).ok
        except (UnavailableError, UnconfirmedError):
            return False

    assert await eventually(works)


async def test_a_publish_without_an_ack_is_sent_again_under_its_id(lonely: Lonely) -> None:
    """Where nothing was said for a while; the stream stores the command once."""
    child, commands, worker = lonely
    child.pause()
    try:
        asked = asyncio.create_task(send(commands, message()))
        retries = commands._bus.metrics.publish_retries
        await eventually(lambda: retries.count() >= 1)
    finally:
        child.resume()
    assert (await asked).ok
    ids = [worker.header(heard, HEADER_MESSAGE_ID) for heard in worker.heard]
    assert len(set(ids)) == 1
    assert (await commands._bus.js.stream_info("COMMANDS")).state.messages == 1


async def test_without_a_stream_a_command_is_tried_until_its_deadline(lonely: Lonely) -> None:
    """No worker would ever see it; what the server says at once is not the last word."""
    _, commands, worker = lonely
    await commands._bus.js.delete_stream("COMMANDS")
    # It hears core messages, and would be a responder.
    await worker._bus.close()
    with pytest.raises(UnconfirmedError):
        await send(commands, message(), 1.0)
    assert commands._bus.metrics.publish_retries.count() >= 2


async def test_what_the_stream_refuses_is_known_as_soon_as_it_is_asked(lonely: Lonely) -> None:
    """A refusal that no retry can mend; of the try before it the stream was not asked."""
    _, commands, worker = lonely
    worker.answer = lambda _message: None
    js = commands._bus.js
    config = (await js.stream_info("COMMANDS")).config
    await js.update_stream(config.evolve(max_msg_size=1))
    async with asyncio.timeout(2):
        with pytest.raises(UnconfirmedError):
            await send(commands, message())
    assert commands._bus.metrics.publish_retries.count() == 1


async def test_a_late_outcome_is_waited_for_once_the_stream_has_the_command(lonely: Lonely) -> None:
    """The stream is asked with the command itself, which it knows and does not store again."""
    _, commands, worker = lonely
    worker.answer = lambda _message: None
    asked = asyncio.create_task(send(commands, message()))
    await eventually(lambda: any(one._stored for (one,) in commands._waiting.values()))
    worker.answer = says({"ok": True, "data": {}})
    await worker._on_command(worker.heard[0])
    assert (await asked).ok
    assert commands._bus.metrics.publish_retries.count() == 1
    assert (await commands._bus.js.stream_info("COMMANDS")).state.messages == 1
