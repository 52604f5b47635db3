"""The provision step against real servers: idempotent, additive, refusing drift."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from nats.js.api import ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from pymongo import IndexModel

from abbotik_contracts.subjects import CONSUMERS, STREAMS
from abbotik_runtime import mongo
from abbotik_runtime.bus import Bus
from abbotik_runtime.provision import Drift, Unreachable, missing, provision, provision_streams
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.servers import Child

STREAM_FOLDER = "nats/jetstream/$G/streams/COMMANDS"
PLACE = "obs/room-worker"
SERVICES = ("gateway", "room-worker", "factory", "verifier")


@pytest.fixture
async def empty(own_nats: tuple[Child, str]) -> AsyncIterator[Bus]:
    """Yield a bus on a server without any stream."""
    bus = await Bus.open(ServiceSettings(nats_url=own_nats[1]), "test")
    yield bus
    await bus.close()


async def test_a_fresh_deployment_gets_all_that_services_need(
    empty: Bus, own_nats: tuple[Child, str], settings: ServiceSettings, mongo_client: mongo.Client
) -> None:
    """After one run no service misses a stream or consumer, and all indexes are there."""
    for service in SERVICES:
        assert await missing(empty.js, service)
    await provision(own_nats[1], settings.mongo_url, settings.mongo_database)
    for service in SERVICES:
        assert await missing(empty.js, service) == []
    database = mongo.database(mongo_client, settings)
    for collection, indexes in mongo.INDEXES.items():
        made = await database[collection].index_information()
        assert {index.document["name"] for index in indexes} <= set(made)
    await mongo_client.drop_database(settings.mongo_database)


@pytest.mark.parametrize(
    "lost",
    [("meta.inf", "meta.sum"), ("meta.sum",), (f"{PLACE}/meta.inf", f"{PLACE}/meta.sum")],
)
async def test_what_a_power_cut_took_is_consumed_from_its_beginning(
    empty: Bus, own_nats: tuple[Child, str], tmp_path: Path, lost: tuple[str, ...]
) -> None:
    """The stream or its consumer is made again, whatever the disk has of them, and stays."""
    await provision_streams(empty.js)
    for _ in range(3):
        await _send_and_take(empty)
    await _restart(empty, own_nats[0], lambda: _lose(tmp_path / STREAM_FOLDER, lost))
    assert any("is missing" in each for each in await missing(empty.js, "room-worker"))
    await provision_streams(empty.js)
    await _send_and_take(empty)
    await _restart(empty, own_nats[0], lambda: None)
    assert await missing(empty.js, "room-worker") == []
    await _send_and_take(empty)


async def test_a_stream_is_never_removed_as_the_last_one(
    empty: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NATS then removes the folder of all streams, while the next one is made in it."""
    left = list[int]()
    delete_stream = empty.js.delete_stream

    async def delete(name: str) -> bool:
        deleted = await delete_stream(name)
        left.append(len(await empty.js.streams_info()))
        return deleted

    monkeypatch.setattr(empty.js, "delete_stream", delete)
    await provision_streams(empty.js)
    assert len(left) == sum(stream.flushed_later for stream in STREAMS)
    assert all(left)


async def test_running_it_again_changes_nothing(empty: Bus) -> None:
    """A second run leaves streams, consumers and messages as they are."""
    await provision_streams(empty.js)
    await empty.publish_stored("cmd.room.t.r.message", b"x", message_id="p1")
    before = [await empty.js.stream_info(stream.name) for stream in STREAMS]
    await provision_streams(empty.js)
    after = [await empty.js.stream_info(stream.name) for stream in STREAMS]
    assert [info.config for info in before] == [info.config for info in after]
    assert [info.state for info in before] == [info.state for info in after]


async def test_declared_streams_schedule_and_refuse(empty: Bus) -> None:
    """SCHEDULES takes message schedules, and TURNS refuses a second message of a room."""
    await provision_streams(empty.js)
    schedules = (await empty.js.stream_info("SCHEDULES")).config
    turns = (await empty.js.stream_info("TURNS")).config
    assert schedules.allow_msg_schedules
    assert (turns.max_msgs_per_subject, turns.discard_new_per_subject) == (1, True)


async def test_drift_is_refused_and_left_alone(empty: Bus) -> None:
    """A stream of another storage is named with member, found and wanted, and not touched."""
    await empty.js.add_stream(
        StreamConfig(
            name="COMMANDS",
            subjects=["cmd.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.MEMORY,
            discard="new",  # type: ignore[arg-type] # nats-py passes the word on
        )
    )
    with pytest.raises(Drift) as refused:
        await provision_streams(empty.js)
    drift = refused.value
    assert (drift.owner, drift.member) == ("stream COMMANDS", "storage")
    assert (drift.found, drift.wanted) == ("memory", "file")
    assert (await empty.js.stream_info("COMMANDS")).config.storage == "memory"
    assert any("storage" in each for each in await missing(empty.js, "gateway"))


async def test_an_outdated_stream_gets_its_new_subjects(empty: Bus) -> None:
    """A stream of an earlier version gets what was added since, and keeps an operator's limits."""
    await provision_streams(empty.js)
    found = (await empty.js.stream_info("DLQ")).config
    await empty.js.update_stream(found.evolve(subjects=["dlq.factory"], max_bytes=2**30))
    assert any("subjects" in each for each in await missing(empty.js, "factory"))
    with pytest.raises(Drift):  # dlq.factory is none of ours
        await provision_streams(empty.js)
    await empty.js.update_stream(found.evolve(subjects=["dlq.>"], max_bytes=2**30))
    await provision_streams(empty.js)
    assert (await empty.js.stream_info("DLQ")).config.max_bytes == 2**30


async def test_an_outdated_consumer_is_updated(empty: Bus) -> None:
    """A durable consumer does not keep the settings of an earlier version."""
    await provision_streams(empty.js)
    wanted = next(consumer for consumer in CONSUMERS if consumer.name == "turns")
    await empty.js.add_consumer(
        "TURNS",
        ConsumerConfig(
            name="turns", durable_name="turns", filter_subject="turn.>", ack_wait=60, max_deliver=3
        ),
    )
    assert any("ack_wait" in each for each in await missing(empty.js, "room-worker"))
    await provision_streams(empty.js)
    config = (await empty.js.consumer_info("TURNS", "turns")).config
    assert (config.ack_wait, config.max_deliver) == (wanted.ack_wait_s, -1)
    assert await missing(empty.js, "room-worker") == []


async def test_a_different_index_of_the_same_name_is_drift(
    settings: ServiceSettings, nats_url: str, mongo_client: mongo.Client
) -> None:
    """An index that exists with other keys is refused, not replaced."""
    database = mongo.database(mongo_client, settings)
    collection, indexes = next(iter(mongo.INDEXES.items()))
    name = indexes[0].document["name"]
    await database[collection].create_indexes([IndexModel([("other", 1)], name=name)])
    with pytest.raises(Drift, match="index"):
        await provision(nats_url, settings.mongo_url, settings.mongo_database)
    await mongo_client.drop_database(settings.mongo_database)


# PyMongo leaves a socket open when it is closed while it connects; `gc` finds it here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_it_waits_for_servers_that_are_starting(
    own_nats: tuple[Child, str], settings: ServiceSettings
) -> None:
    """Servers that are away are waited for, and named by the error when they stay away."""
    server, url = own_nats
    server.kill()
    with pytest.raises(Unreachable, match="NATS does not answer"):
        await provision(url, settings.mongo_url, settings.mongo_database, wait_s=0.1)
    server.start()
    nowhere = "mongodb://127.0.0.1:9/?replicaSet=rs0"
    with pytest.raises(Unreachable, match="MongoDB does not answer"):
        await provision(url, nowhere, settings.mongo_database, wait_s=0.1)
    gc.collect()


async def _send_and_take(bus: Bus) -> None:
    """Send a room command and be the worker that takes it; TimeoutError where it does not come."""
    await bus.js.publish("cmd.room.t.r.message", b"x")
    taken = await bus.js.pull_subscribe_bind("room-worker", "COMMANDS")
    (message,) = await taken.fetch(1, timeout=5)
    await message.ack_sync()
    await taken.unsubscribe()


async def _restart(bus: Bus, server: Child, meanwhile: Callable[[], None]) -> None:
    epoch = bus.epoch
    # In order, so that the places of consumers are on the disk for sure.
    server.stop()
    meanwhile()
    server.start()
    await eventually(lambda: bus.epoch > epoch and bus.connected)


def _lose(folder: Path, names: tuple[str, ...]) -> None:
    """Empty these files of a stream, and its messages: the kernel had not written them yet."""
    for file in (*(folder / name for name in names), *folder.glob("msgs/*")):
        os.truncate(file, 0)
