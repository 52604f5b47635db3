"""The operator's verbs as an operator runs them: `dlq`, `verify-log`, `doctor`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from abbotik_contracts.subjects import CONSUMERS
from abbotik_kernel.outcome import Done, Outcome, Reject
from abbotik_runtime import mongo
from abbotik_runtime.acks import settle
from abbotik_runtime.bus import Bus
from abbotik_runtime.pull import PullLoop
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.integration.test_room_log import KEY, Story
from tests.unit.room_worker.rooms import message, rent

COMMANDS = next(consumer for consumer in CONSUMERS if consumer.name == "room-worker")
SUBJECT = "cmd.room.acme.room.message"


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal, with the settings of a deployment."""

    environ: dict[str, str]

    async def run(self, *words: str) -> Ran:
        """Run `abbotik` and wait for it."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "abbotik_cli",
            *words,
            env=self.environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        return Ran(child.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def operator(provisioned: ServiceSettings, tmp_path: Path) -> Operator:
    """Return an operator of a provisioned deployment."""
    return Operator(
        {
            **os.environ,
            "ABBOTIK_HOME": str(tmp_path),
            "ABBOTIK_NATS_URL": provisioned.nats_url,
            "ABBOTIK_MONGO_URL": provisioned.mongo_url,
            "ABBOTIK_MONGO_DATABASE": provisioned.mongo_database,
        }
    )


class Handler:
    """Takes commands; rejects them until it is mended, and remembers them then."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.mended = False
        self.taken: list[Msg] = []
        self.loop = PullLoop(bus, COMMANDS, self._handle, capacity=4)

    async def _handle(self, message: Msg) -> None:
        outcome: Outcome = Reject("COMMAND_BROKE", "KeyError: 'x'\nno more")
        if self.mended:
            self.taken.append(message)
            outcome = Done()
        await settle(message, outcome, service="room-worker", bus=self._bus)


async def _rejected(bus: Bus, *bodies: bytes) -> Handler:
    """Have commands rejected, and return the handler that did."""
    handler = Handler(bus)
    handler.loop.start()
    for body in bodies:
        headers = {"x-request-id": "q1", "Abbotik-Reply": "_INBOX.gone"}
        await bus.publish_stored(SUBJECT, body, message_id=str(uuid.uuid4()), headers=headers)

    async def all_there() -> bool:
        return (await bus.js.stream_info("DLQ")).state.messages == len(bodies)

    await eventually(all_there)
    return handler


async def test_dead_letter_is_listed_and_shown(streams: Bus, operator: Operator) -> None:
    """With its cause, its attempts and the command; a line each in the list."""
    handler = await _rejected(streams, b'{"name":"room.message.v1"}')
    await handler.loop.stop()
    listed = await operator.run("dlq", "list")
    assert listed.code == 0, listed.err
    line = listed.out.splitlines()[0]
    assert "COMMAND_BROKE" in line
    assert SUBJECT in line
    assert "1x" in line
    seq = line.split()[0]
    shown = json.loads((await operator.run("dlq", "show", seq)).out)
    assert shown["code"] == "COMMAND_BROKE"
    assert shown["cause"].startswith("KeyError")
    assert shown["attempts"] == 1
    assert shown["command"] == {"name": "room.message.v1"}
    assert (await operator.run("dlq", "list", "--service", "verifier")).out == (
        "abbotik: 0 dead letters\n"
    )


async def test_dead_letter_is_sent_again_once(streams: Bus, operator: Operator) -> None:
    """It reaches its consumer as it was, without the inbox nobody reads, and is forgotten."""
    handler = await _rejected(streams, b"one", b"two")
    handler.mended = True
    again = await operator.run("dlq", "redrive", "--all")
    assert again.code == 0, again.err

    async def both() -> bool:
        return len(handler.taken) == 2

    await eventually(both)
    await handler.loop.stop()
    assert sorted(message.data for message in handler.taken) == [b"one", b"two"]
    headers = handler.taken[0].headers or {}
    assert headers["x-request-id"] == "q1"
    assert "Abbotik-Reply" not in headers
    assert "Abbotik-Code" not in headers
    assert (await operator.run("dlq", "list")).out == "abbotik: 0 dead letters\n"


async def test_dead_letter_is_dropped(streams: Bus, operator: Operator) -> None:
    """The named one is gone for ever, the other stays."""
    await (await _rejected(streams, b"one", b"two")).loop.stop()
    first = (await operator.run("dlq", "list")).out.split()[0]
    assert (await operator.run("dlq", "drop", first)).code == 0
    assert (await operator.run("dlq", "list")).out.endswith("abbotik: 1 dead letter\n")
    gone = await operator.run("dlq", "show", first)
    assert gone.code == 1
    assert gone.err.startswith(f"abbotik: There is no dead letter {first}")


async def test_redrive_of_nothing_asks_for_a_number(operator: Operator) -> None:
    """Neither a number nor --all: one sentence and code 1."""
    ran = await operator.run("dlq", "redrive")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "--all" in ran.err


async def test_log_is_verified_and_a_change_is_named(
    database: mongo.Database, operator: Operator
) -> None:
    """A sound log gives code 0 and its last hash; one changed member gives code 1 and its event."""
    tenant, room = KEY
    story = Story(database)
    await story.ask(rent(1))
    await story.ask(message(10), turn=100)
    await story.end(40)
    sound = await operator.run("verify-log", room, "--tenant", tenant)
    assert sound.code == 0, sound.out + sound.err
    assert sound.out.startswith("abbotik: sound: ")
    await database["room_log"].update_one(
        {"_id": f"{room}:000000000002"}, {"$set": {"events.0.payload.message_id": "other"}}
    )
    changed = await operator.run("verify-log", room, "--tenant", tenant)
    assert changed.code == 1
    assert "event 2 was changed" in changed.out
    await database["room_log"].delete_one({"_id": f"{room}:000000000002"})
    assert "missing" in (await operator.run("verify-log", room, "--tenant", tenant)).out
    other = await operator.run("verify-log", room, "--tenant", "other")
    assert (other.code, other.err.count("\n")) == (1, 1)


async def test_doctor_names_what_is_wrong(
    streams: Bus, database: mongo.Database, operator: Operator
) -> None:
    """No worker, a missing and a wrong index, an overdue room, a lost holder are each named."""
    await database["rooms"].insert_one(
        {"_id": "late", "tenant": "acme", "due_at": 5, "session": "gone", "wants_turn": False}
    )
    await database["rooms"].drop_index("due")
    await database["room_log"].drop_index("token")
    await database["room_log"].create_index("session", name="token")
    await streams.js.delete_consumer("TURNS", "turns")
    ran = await operator.run("doctor")
    assert ran.code == 1, ran.err
    start_one = "start a room worker, or look for `room.uncared` in the logs of those that live"
    for fault in (
        "no room worker lives: start one",
        "indexes are missing (rooms.due): run `abbotik provision`",
        "indexes are not as declared (room_log.token): stop all workers, drop them, provision",
        f"rooms are past a deadline for over 10 s (late): {start_one}",
        f"rooms are held by a session that is gone (late): {start_one}",
        "consumer turns is missing: run `abbotik provision`",
    ):
        assert f"WRONG {fault}\n" in ran.out
    assert ran.out.endswith("abbotik: 6 things are wrong\n")


async def test_server_that_is_away_is_one_sentence(operator: Operator) -> None:
    """Within seconds, whatever the verb."""
    away = Operator({**operator.environ, "ABBOTIK_NATS_URL": "nats://127.0.0.1:1"})
    ran = await away.run("dlq", "list")
    assert ran.code == 1
    assert "NATS does not answer" in ran.err
