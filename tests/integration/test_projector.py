"""Projections on a real server: only forward, many in one bulk, nobody left waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from abbotik_runtime import mongo
from abbotik_runtime import projector as projector_module
from abbotik_runtime.ids import uuid7
from abbotik_runtime.projector import ProjectionError, Projector
from abbotik_runtime.settings import ServiceSettings
from tests.integration.cutting_proxy import CuttingProxy

COLLECTION = "things"


def document(key: str, rev: int, **members: Any) -> dict[str, Any]:
    """Return a projection."""
    return {"_id": key, "tenant": "acme", "rev": rev, **members}


def owe(
    projector: Projector, document: dict[str, Any], *, urgent: bool = False
) -> asyncio.Future[None]:
    """Hand a whole document to a projector."""
    return projector.write(document["_id"], document["rev"], lambda: dict(document), urgent=urgent)


class Updates(CommandListener):
    """Counts the bulks that the driver sends."""

    def __init__(self) -> None:
        self.bulks = 0

    def started(self, event: CommandStartedEvent) -> None:
        """Note an update."""
        self.bulks += event.command_name == "update"

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Take no note."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Take no note."""


async def _stored(database: mongo.Database) -> dict[str, dict[str, Any]]:
    return {found["_id"]: found async for found in database[COLLECTION].find()}


async def test_document_is_stored_and_replaced(database: mongo.Database) -> None:
    """What `write` returned for is there; a newer one takes its place."""
    projector = Projector(database, COLLECTION)
    await owe(projector, document("a", 1, name="one", due=5, gone=True))
    await owe(projector, document("a", 2, name="two", due=None))
    assert await _stored(database) == {"a": document("a", 2, name="two", due=None)}


async def test_what_means_something_to_mongodb_is_stored_as_it_is(
    database: mongo.Database,
) -> None:
    """Names and values of a document are never taken for operators, paths or variables."""
    projector = Projector(database, COLLECTION)
    odd = {"$set": {"a.b": "$rev", "": "$$ROOT"}, "list": [{"$where": "x"}]}
    for rev in (1, 2):
        await owe(projector, {**document("a", rev, config=odd), "tenant": "$rev"})
    assert await _stored(database) == {"a": {**document("a", 2, config=odd), "tenant": "$rev"}}


async def test_more_than_one_command_takes_is_written_in_several(database: mongo.Database) -> None:
    """MongoDB takes 16 MiB at once; what is owed after an outage may be more."""
    projector = Projector(database, COLLECTION)
    large = "x" * (80 * 1024)
    async with asyncio.timeout(30):
        await asyncio.gather(*(owe(projector, document(str(n), 1, text=large)) for n in range(240)))
    assert len(await _stored(database)) == 240


async def test_older_document_is_left_out(database: mongo.Database) -> None:
    """Whoever comes late, here or in another process, changes nothing and is not refused."""
    first, second = Projector(database, COLLECTION), Projector(database, COLLECTION)
    await owe(first, document("a", 5, name="new"))
    await owe(second, document("a", 4, name="old"))
    await owe(second, document("a", 5, name="same"))
    assert (await _stored(database))["a"]["name"] == "new"


async def test_many_documents_share_bulks(
    settings: ServiceSettings, database: mongo.Database
) -> None:
    """200 at once are far fewer bulks than documents."""
    updates = Updates()
    client: mongo.Client = AsyncMongoClient(settings.mongo_url, event_listeners=[updates])
    projector = Projector(client[database.name], COLLECTION)
    await asyncio.gather(*(owe(projector, document(str(n), 1)) for n in range(200)))
    await client.close()
    assert len(await _stored(database)) == 200
    assert updates.bulks <= 10


async def test_full_batch_does_not_linger(
    database: mongo.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rooms than a batch holds go out at once; the rest waits for what may join it."""
    monkeypatch.setattr(projector_module, "LINGER_S", 60.0)
    projector = Projector(database, COLLECTION)
    owed = [owe(projector, document(str(n), 1)) for n in range(600)]
    async with asyncio.timeout(30):
        await asyncio.gather(*owed[:512])
        assert not any(future.done() for future in owed[512:])
        await owe(projector, document("urgent", 1), urgent=True)
    assert all(future.done() for future in owed)


async def test_only_the_newest_of_one_key_is_written(
    settings: ServiceSettings, database: mongo.Database
) -> None:
    """Of one that changed often meanwhile only the newest goes out; all writers are told."""
    updates = Updates()
    client: mongo.Client = AsyncMongoClient(settings.mongo_url, event_listeners=[updates])
    projector = Projector(client[database.name], COLLECTION)
    await asyncio.gather(*(owe(projector, document("a", rev)) for rev in (3, 9, 1, 5)))
    await client.close()
    assert (await _stored(database))["a"]["rev"] == 9
    assert updates.bulks == 1


async def test_two_processes_that_write_a_new_key_leave_the_newest(
    database: mongo.Database,
) -> None:
    """Both find nothing and insert: the newer one wins whichever came first."""
    projectors = [Projector(database, COLLECTION) for _ in range(4)]
    for _ in range(10):
        keys = [uuid7() for _ in range(40)]
        await asyncio.gather(
            *(
                owe(projector, document(key, rev), urgent=True)
                for key in keys
                for rev, projector in enumerate(projectors, start=1)
            )
        )
        stored = await _stored(database)
        assert [key for key in keys if stored[key]["rev"] != len(projectors)] == []


async def test_document_of_another_tenant_is_not_taken_over(database: mongo.Database) -> None:
    """A doubled id changes nothing of the other's."""
    projector = Projector(database, COLLECTION)
    await owe(projector, document("a", 1, name="mine"))
    await owe(projector, {**document("a", 2, name="theirs"), "tenant": "other"})
    assert (await _stored(database))["a"]["name"] == "mine"


async def test_projection_without_a_majority_is_written_again(
    database: mongo.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a write concern error a full count says nothing: nobody is told, and it goes again."""
    answers = [{"n": 1, "ok": 1, "writeConcernError": {"code": 64, "errmsg": "no majority"}}]
    command = AsyncDatabase.command

    async def unconfirmed_once(database: mongo.Database, sent: dict[str, Any]) -> dict[str, Any]:
        return answers.pop() if answers else await command(database, sent)

    monkeypatch.setattr(AsyncDatabase, "command", unconfirmed_once)
    await owe(Projector(database, COLLECTION), document("a", 1), urgent=True)
    assert set(await _stored(database)) == {"a"}


async def test_store_that_is_away_is_waited_for(
    mongo_url: str, settings: ServiceSettings, database: mongo.Database
) -> None:
    """What is owed goes out by itself once the store is back, in its newest state."""
    async with CuttingProxy(mongo_url) as proxy:
        proxy.broken = True
        client: mongo.Client = AsyncMongoClient(
            proxy.url, timeoutMS=500, serverSelectionTimeoutMS=500
        )
        projector = Projector(client[settings.mongo_database], COLLECTION)
        owed = [owe(projector, document("a", 1)), owe(projector, document("b", 1))]
        done, _ = await asyncio.wait(owed, timeout=1.5)
        assert not done
        owed.append(owe(projector, document("a", 2)))
        proxy.broken = False
        async with asyncio.timeout(10):
            await asyncio.gather(*owed)
        await client.close()
    assert {key: found["rev"] for key, found in (await _stored(database)).items()} == {
        "a": 2,
        "b": 1,
    }


async def test_document_that_cannot_be_encoded_leaves_nobody_waiting(
    database: mongo.Database,
) -> None:
    """Its writer gets an error; its mates and the next ones are written."""
    projector = Projector(database, COLLECTION)
    async with asyncio.timeout(3):
        answers = await asyncio.gather(
            owe(projector, document("a", 1)),
            owe(projector, document("b", 1, n=10**30)),
            return_exceptions=True,
        )
        assert answers[0] is None
        assert isinstance(answers[1], ProjectionError)
        await owe(projector, document("a", 2))
    assert (await _stored(database))["a"]["rev"] == 2


async def test_document_that_cannot_be_made_leaves_nobody_waiting(
    database: mongo.Database,
) -> None:
    """An error of its maker is its writer's alone; the others of the batch are written."""
    projector = Projector(database, COLLECTION)

    def broken() -> dict[str, Any]:
        raise KeyError("no such member")

    async with asyncio.timeout(3):
        answers = await asyncio.gather(
            projector.write("b", 1, broken),
            owe(projector, document("a", 1)),
            return_exceptions=True,
        )
    assert isinstance(answers[0], ProjectionError)
    assert set(await _stored(database)) == {"a"}


async def test_writer_that_goes_away_takes_nobody_with_it(database: mongo.Database) -> None:
    """Two wait for the same document; one stops waiting, the other is told all the same."""
    projector = Projector(database, COLLECTION)
    leaving = owe(projector, document("a", 1))
    staying = owe(projector, document("a", 2))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await staying
    assert (await _stored(database))["a"]["rev"] == 2
