"""Floor M: MongoDB `insert_one`, majority and journaled, 1 caller."""

import argparse
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import uvloop
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection

from bench.samples import Finding, report

Document = dict[str, Any]
DATABASE = "abbotik_bench"


def entry(number: int, room: str = "01927d3e-8c1b-7a53-9b1f-000000000001") -> Document:
    """Build a document of about 500 bytes, shaped like a small log entry."""
    event = {"seq": number, "type": "message:queued", "payload": {"text": "x" * 200}}
    return {
        "_id": f"{room}:{number:012d}",
        "tenant": "dev",
        "room": room,
        "rev": number,
        "state": {"status": "active", "last_event_seq": number, "prev_hash": "0" * 64},
        "events": [event],
    }


@asynccontextmanager
async def journaled(url: str) -> AsyncIterator[AsyncCollection[Document]]:
    """Yield an empty collection with write concern majority and journaled; drops it afterwards."""
    async with AsyncMongoClient[Document](url) as client:
        database = client.get_database(
            DATABASE, write_concern=WriteConcern(w="majority", j=True, wtimeout=10_000)
        )
        await client.drop_database(DATABASE)
        await database.create_collection("log")
        yield database["log"]
        await client.drop_database(DATABASE)


async def measure(url: str, count: int) -> None:
    """Insert one after the other and print."""
    seconds = []
    async with journaled(url) as log:
        for number in range(count + 200):
            document = entry(number)
            started = perf_counter()
            await log.insert_one(document)
            seconds.append(perf_counter() - started)
    report(Finding.of("M", seconds[200:]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mongo", required=True)
    parser.add_argument("--count", type=int, default=3000)
    arguments = parser.parse_args()
    gc.disable()  # pauses of the client are not the server's
    uvloop.run(measure(arguments.mongo, arguments.count))
