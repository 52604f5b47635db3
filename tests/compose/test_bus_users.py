"""The bus users of docker-compose.yml, on the packaged nats-server."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from abbotik_cli import binaries, nats_server
from abbotik_cli.fault import Fault
from abbotik_cli.ports import Ports
from abbotik_cli.program import Program
from abbotik_contracts.subjects import (
    CONSUMERS,
    HEADER_SUBJECT,
    WORKERS_HERE,
    Consumer,
    dead_letters,
    room_command,
    room_events,
    turn,
    worker_commands,
)
from abbotik_contracts.subjects import consumer as consumer_named
from abbotik_runtime.bus import Bus
from abbotik_runtime.dead_letters import DeadLetters
from abbotik_runtime.passing import Passing
from abbotik_runtime.provision import missing, provision_streams
from abbotik_runtime.settings import ServiceSettings
from tests import servers

USERS = Path(__file__).resolve().parents[2] / "deploy" / "nats" / "users.conf"
SERVICES = ("gateway", "room-worker", "factory", "verifier")
NAMES = ("provision", "operator", *SERVICES)


@pytest.fixture(scope="module")
def bus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield host and port of a nats-server with these users; a user's password is its name."""
    try:
        binary = binaries.nats_server()
    except Fault as fault:
        servers.not_without(str(fault))
    home = tmp_path_factory.mktemp("bus-users")
    port = Ports().take()
    config = home / "nats.conf"
    shutil.copy(USERS, home)
    config.write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{home}" }}\ninclude {USERS.name}\n'
    )
    env = {f"{name.upper().replace('-', '_')}_PASSWORD": name for name in NAMES}
    program = Program(
        name="nats-server",
        argv=(str(binary), "-c", str(config)),
        env={**os.environ, **env},
        ready=partial(nats_server.answers, "127.0.0.1", port),
        grace_s=2.5,
    )
    child = servers.Child(program, home / "nats.log")
    child.start()
    yield f"127.0.0.1:{port}"
    child.stop()


class Refusals:
    """What the server forbade a connection, as it said it."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def hear(self, error: Exception) -> None:
        """Take an error of the connection."""
        self.texts.append(str(error).lower())


@asynccontextmanager
async def connected(bus_url: str, user: str) -> AsyncIterator[tuple[Client, Refusals]]:
    """Yield a connection of that user, and what it was refused."""
    refusals = Refusals()
    client = await nats.connect(
        f"nats://{user}:{user}@{bus_url}", allow_reconnect=False, error_cb=refusals.hear
    )
    try:
        yield client, refusals
    finally:
        await client.close()


@pytest.fixture
async def provisioned(bus_url: str) -> str:
    """Return the server's address once `provision` has declared everything."""
    async with connected(bus_url, "provision") as (client, refusals):
        await provision_streams(client.jetstream(timeout=5))
        assert refusals.texts == []
    return bus_url


async def refused(client: Client, refusals: Refusals, subject: str) -> bool:
    """Whether the server forbids this user to publish there."""
    refusals.texts.clear()
    await client.publish(subject, b"{}")
    # nats-py sends the first ping ahead of what is buffered; the answer to the second comes after
    # the refusal.
    await client.flush()
    await client.flush()
    return any(f'publish to "{subject.lower()}"' in text for text in refusals.texts)


@pytest.mark.parametrize("service", SERVICES)
async def test_each_service_finds_what_it_needs(provisioned: str, service: str) -> None:
    """With its own user every service can see its streams and consumers: it can become ready."""
    async with connected(provisioned, service) as (client, refusals):
        assert await missing(client.jetstream(timeout=2), service) == []
        assert refusals.texts == []


async def test_the_gateway_sees_how_much_waits(provisioned: str) -> None:
    """Backpressure reads both queues of the room workers with the gateway's own user."""
    async with connected(provisioned, "gateway") as (client, refusals):
        js = client.jetstream(timeout=2)
        for name in ("room-worker", "turns"):
            declared = consumer_named(name)
            assert (await js.consumer_info(declared.stream, name)).num_pending == 0
        assert refusals.texts == []


async def test_workers_hear_each_other(provisioned: str) -> None:
    """A room worker may listen to who is there and to what is passed on to it; nobody else may."""
    for service in NAMES:
        for subject in (WORKERS_HERE, worker_commands("s")):
            async with connected(provisioned, service) as (client, refusals):
                await client.subscribe(subject)
                await client.flush()
                await client.flush()
                assert (refusals.texts == []) is (service == "room-worker")


async def test_who_may_not_pass_on_keeps_what_it_has(provisioned: str) -> None:
    """The server drops such a message without a word, so none is sent."""
    for user in ("room-worker", "gateway"):
        settings = ServiceSettings(nats_url=f"nats://{user}:{user}@{provisioned}")
        bus = await Bus.open(settings, "test")
        passing = Passing(bus, worker_commands("s"), lambda _: None)
        await passing.start()
        await bus.barrier()
        message = Msg(bus.client, room_command("t", "r", "message"), "ack", b"{}")
        assert await passing.send(message, worker_commands("s")) is (user == "room-worker")
        await bus.close()


async def test_the_operator_sees_all_and_settles_dead_letters(provisioned: str) -> None:
    """What `abbotik doctor` and `abbotik dlq` ask of the bus, they may ask."""
    settings = ServiceSettings(nats_url=f"nats://operator:operator@{provisioned}")
    async with connected(provisioned, "room-worker") as (worker, _):
        for _ in range(2):
            letter = {HEADER_SUBJECT: room_command("t", "r", "message")}
            await worker.jetstream().publish(dead_letters("room-worker"), b"{}", headers=letter)
    bus = await Bus.open(settings, "operator")
    try:
        await bus.js.account_info()
        for service in SERVICES:
            assert await missing(bus.js, service) == []
        letters = DeadLetters(bus)
        first, second = [letter async for letter in letters.all()]
        await letters.redrive(first)
        assert await letters.drop(second.seq)
        assert [letter async for letter in letters.all()] == []
        assert (await bus.js.stream_info("COMMANDS")).state.messages == 1
    finally:
        await bus.close()


@pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda each: each.name)
async def test_each_consumer_can_be_pulled_and_acknowledged(
    provisioned: str, consumer: Consumer
) -> None:
    """A service may take and settle what is for it, and keep dead letters of it."""
    (service,) = consumer.services
    async with connected(provisioned, service) as (client, refusals):
        subjects = (
            f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}",
            f"$JS.ACK.{consumer.stream}.{consumer.name}.1.1.1.1.0",
            dead_letters(service),
        )
        for subject in subjects:
            assert not await refused(client, refusals, subject)


@pytest.mark.parametrize("service", NAMES)
async def test_nobody_does_what_is_for_another(provisioned: str, service: str) -> None:
    """Commands come from gateways alone, events and triggers from room workers alone.

    Only who provisions takes streams away, to make them anew.
    """
    may = {"gateway": {room_command("t", "r", "message")}, "room-worker": {turn("t", "r")}}
    may["room-worker"] |= {room_events("t", "r"), WORKERS_HERE, worker_commands("s")}
    # To send a dead letter back.
    may["operator"] = {room_command("t", "r", "message"), turn("t", "r")}
    may["provision"] = {"$JS.API.STREAM.DELETE.COMMANDS"}
    asked = {
        room_command("t", "r", "message"),
        room_events("t", "r"),
        turn("t", "r"),
        WORKERS_HERE,
        worker_commands("s"),
        "$JS.API.STREAM.DELETE.COMMANDS",
        "$JS.API.STREAM.PURGE.COMMANDS",
        "$JS.API.STREAM.MSG.GET.COMMANDS",
    }
    async with connected(provisioned, service) as (client, refusals):
        allowed = {each for each in asked if not await refused(client, refusals, each)}
    assert allowed == may.get(service, set())


@pytest.mark.parametrize("login", ["{}", '{"user": "gateway", "pass": "wrong"}'])
def test_strangers_are_refused(bus_url: str, login: str) -> None:
    """Without a user, or with a wrong password, the connection is closed."""
    host, _, port = bus_url.partition(":")
    # By hand, since nats-py leaves a refused connection for the collector to close.
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(f"CONNECT {login}\r\nPING\r\n".encode())
        with connection.makefile("rb") as answers:
            assert answers.readline().startswith(b"INFO ")
            assert answers.readline() == b"-ERR 'Authorization Violation'\r\n"
