"""`abbotik doctor` at real servers that are made wrong, one thing at a time."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from nats.js.api import ConsumerConfig, StorageType, StreamConfig

from abbotik_cli import doctor
from abbotik_contracts.subjects import consumer, dead_letters
from abbotik_kernel.clock import CorrectedClock, SystemClock
from abbotik_room_worker.adapters.sessions import MongoSessions
from abbotik_room_worker.progress import Progress
from abbotik_runtime import mongo
from abbotik_runtime.bus import Bus
from abbotik_runtime.declared import consumer_config
from abbotik_runtime.settings import ServiceSettings
from tests.servers import packaged_nats

Doctor = Callable[[], Awaitable[tuple[int, list[str]]]]


@pytest.fixture
async def live(database: mongo.Database, provisioned: ServiceSettings) -> MongoSessions:
    """Return the session of a room worker that lives in a provisioned deployment."""
    assert provisioned.mongo_database == database.name
    return await _session(database, "live")


@pytest.fixture
def ask(
    provisioned: ServiceSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """Return what asks the doctor: its exit code, and the lines that are not ok."""
    monkeypatch.setenv("ABBOTIK_HOME", str(tmp_path))
    monkeypatch.setenv("ABBOTIK_NATS_URL", provisioned.nats_url)
    monkeypatch.setenv("ABBOTIK_MONGO_URL", provisioned.mongo_url)
    monkeypatch.setenv("ABBOTIK_MONGO_DATABASE", provisioned.mongo_database)
    _put_bwrap(tmp_path, monkeypatch, "exit 0")

    async def asked() -> tuple[int, list[str]]:
        code = await doctor.run(Namespace())
        lines = capsys.readouterr().out.splitlines()
        return code, [line for line in lines if line.startswith(("WARN", "WRONG"))]

    return asked


async def _session(
    database: mongo.Database, name: str, *, shift_ms: int = 0, ago_s: int = 0
) -> MongoSessions:
    """Begin a session whose process has a wrong clock, or was renewed long ago."""
    clock = CorrectedClock(SystemClock(shift_ms))
    session = MongoSessions(database, name, Progress(), clock)
    # The second one tells what was heard with the first.
    await session.renew()
    await session.renew()
    if ago_s:
        then = {"$subtract": ["$$NOW", ago_s * 1000]}
        await database["workers"].update_one({"_id": name}, [{"$set": {"expires_at": then}}])
    return session


def _put_bwrap(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str | None) -> None:
    """Let the path begin with, or for None be, a folder that has this bwrap, or none."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    if does is None:
        monkeypatch.setenv("PATH", str(programs / "none"))
        return
    program = programs / "bwrap"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


@pytest.mark.usefixtures("live")
async def test_sound_deployment_is_well(ask: Doctor) -> None:
    """Nothing is said but what is ok, and the exit code is 0."""
    assert await ask() == (0, [])


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("stream", ["COMMANDS", "SCHEDULES", "TURNS", "EVENTS", "DLQ"])
async def test_missing_stream_is_named(streams: Bus, ask: Doctor, stream: str) -> None:
    """Whichever it is, also that of the dead letters, which are counted later."""
    await streams.js.delete_stream(stream)
    code, lines = await ask()
    assert code == 1
    assert f"WRONG stream {stream} is missing: run `abbotik provision`" in lines


@pytest.mark.usefixtures("live")
async def test_stream_of_another_kind_is_named(streams: Bus, ask: Doctor) -> None:
    """With what it is, what it must be, and that a person decides."""
    await streams.js.delete_stream("DLQ")
    await streams.js.add_stream(
        StreamConfig(name="DLQ", subjects=["dlq.>"], storage=StorageType.MEMORY)
    )
    try:
        code, lines = await ask()
    finally:
        await streams.js.delete_stream("DLQ")
    assert code == 1
    assert (
        "WRONG stream DLQ: storage is 'memory' and must be 'file'; it is not changed silently: "
        "set it by hand or remove it, then provision again"
    ) in lines


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("name", ["room-worker", "factory", "verifier", "turns", "due"])
async def test_missing_consumer_is_named(streams: Bus, ask: Doctor, name: str) -> None:
    """Whichever it is."""
    await streams.js.delete_consumer(consumer(name).stream, name)
    assert await ask() == (1, [f"WRONG consumer {name} is missing: run `abbotik provision`"])


@pytest.mark.usefixtures("live")
async def test_consumer_that_differs_is_named(streams: Bus, ask: Doctor) -> None:
    """Its wait for an ack was changed by hand: provision sets it again."""
    turns = consumer("turns")
    wanted: ConsumerConfig = consumer_config(turns)
    await streams.js.add_consumer(turns.stream, wanted.evolve(ack_wait=30.0, max_ack_pending=5))
    code, lines = await ask()
    assert code == 1
    assert sorted(lines) == [
        "WRONG consumer turns: ack_wait is outdated: run `abbotik provision`",
        "WRONG consumer turns: max_ack_pending is outdated: run `abbotik provision`",
    ]


@pytest.mark.usefixtures("live")
async def test_index_that_nobody_declared_is_named(database: mongo.Database, ask: Doctor) -> None:
    """Left over, or made by hand. Only one that refuses commits is wrong."""
    await database["room_log"].create_index("at", name="by_hand")
    slow = "WARN  indexes are not declared (room_log.by_hand): each slows every commit"
    assert await ask() == (0, [slow])


@pytest.mark.usefixtures("live")
async def test_dropped_index_is_named(database: mongo.Database, ask: Doctor) -> None:
    """By its collection and name."""
    await database["rooms"].drop_index("held")
    assert await ask() == (1, ["WRONG indexes are missing (rooms.held): run `abbotik provision`"])


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("shift_ms", [60_000, -60_000])
async def test_worker_with_a_wrong_clock_is_named(
    database: mongo.Database, ask: Doctor, shift_ms: int
) -> None:
    """With its machine and process, from its first renewal on."""
    await _session(database, "wrong", shift_ms=shift_ms)
    code, lines = await ask()
    assert (code, len(lines)) == (1, 1)
    where = f"room worker wrong on {os.uname().nodename}, process {os.getpid()}"
    before, after = f"WRONG the clock of {where} is ", " s off MongoDB's: have both machines"
    told = lines[0].removeprefix(before).partition(after)[0]
    # The call took some time.
    assert abs(float(told) * 1000 - shift_ms) < 1000


@pytest.mark.usefixtures("live")
async def test_wrong_clock_of_this_machine_is_named(
    ask: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor's own."""
    wrong_ms = SystemClock(3_600_000).now_ms
    monkeypatch.setattr("abbotik_cli.doctor.time.time", lambda: wrong_ms() / 1000)
    code, lines = await ask()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("WRONG the clock of this machine is +3")


@pytest.mark.usefixtures("live")
async def test_dead_session_that_nobody_buries_is_named(
    database: mongo.Database, ask: Doctor
) -> None:
    """After ten seconds; until then it is being taken over."""
    await _session(database, "just", ago_s=2)
    code, lines = await ask()
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith("WARN  room worker just on ")
    await _session(database, "long", ago_s=60)
    code, lines = await ask()
    assert code == 1
    (wrong,) = [line for line in lines if line.startswith("WRONG")]
    assert wrong.startswith("WRONG room worker long on ")
    assert "died 60 s ago and nobody has taken over what it left: start another" in wrong


@pytest.mark.usefixtures("live")
async def test_room_that_waits_for_a_turn_is_named(database: mongo.Database, ask: Doctor) -> None:
    """For over ten seconds, though a worker lives."""
    await database["rooms"].insert_one(
        {"_id": "waits", "tenant": "acme", "due_at": 0, "wants_turn": True, "at": 5}
    )
    code, lines = await ask()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("WRONG rooms wait for a turn for over 10 s (waits): start a room")


@pytest.mark.usefixtures("live")
async def test_dead_letter_is_named(streams: Bus, ask: Doctor) -> None:
    """It waits for a person, so all is not well."""
    await streams.js.publish(dead_letters("room-worker"), b"{}")
    code, lines = await ask()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("WRONG 1 dead letters wait: `abbotik dlq list` says why")


@pytest.mark.usefixtures("live")
async def test_sandbox_that_is_missing_or_unable_is_named(
    ask: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a warning: an operator looks from machines that verify nothing."""
    _put_bwrap(tmp_path, monkeypatch, "echo 'No permissions to create new namespace' >&2; exit 1")
    code, (unable,) = await ask()
    assert code == 0
    assert "cannot make namespaces here (No permissions to create new namespace): allow" in unable
    _put_bwrap(tmp_path, monkeypatch, None)
    code, (absent,) = await ask()
    assert code == 0
    assert absent.startswith("WARN  bwrap is not on the path: install bubblewrap")


async def test_nats_without_jetstream_is_named(
    live: MongoSessions, ask: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be looked at then is said so, and the rest is looked at all the same."""
    server, url = packaged_nats(tmp_path / "bare")
    config = tmp_path / "bare" / "nats-server.conf"
    config.write_text(json.dumps({"port": int(url.rpartition(":")[2]), "host": "127.0.0.1"}))
    server.start()
    try:
        monkeypatch.setenv("ABBOTIK_NATS_URL", url)
        await live.renew()
        code, lines = await ask()
    finally:
        server.stop()
    assert code == 1
    assert lines[0].startswith(f"WRONG NATS at {url.removeprefix('nats://')} has no JetStream")
    assert [line.partition(" (")[0] for line in lines[1:]] == [
        "WRONG NATS does not tell of streams",
        "WRONG NATS does not tell of dead letters",
    ]
