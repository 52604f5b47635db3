"""Floor G: the inserts of M when 64 callers share one `insert_many` in flight (group commit)."""

import argparse
import asyncio
import gc
from itertools import count as counter
from time import perf_counter

import uvloop
from pymongo.asynchronous.collection import AsyncCollection

from bench.floors.insert import Document, entry, journaled
from bench.samples import Finding, report

Pending = list[tuple[Document, asyncio.Future[None]]]


class GroupCommit:
    """Whatever was handed in while one insert ran goes out together with the next."""

    def __init__(self, log: AsyncCollection[Document]) -> None:
        self._log = log
        self._pending: Pending = []
        self._flushing: asyncio.Task[None] | None = None

    async def insert(self, document: Document) -> None:
        """Return when the document is committed."""
        committed = asyncio.get_running_loop().create_future()
        self._pending.append((document, committed))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        await committed

    async def _flush(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            await self._log.insert_many([document for document, _ in batch], ordered=False)
            for _, committed in batch:
                committed.set_result(None)
            # The callers that were just answered hand in their next one first.
            await asyncio.sleep(0)
        self._flushing = None


async def measure(url: str, count: int, callers: int = 64) -> None:
    """Let the callers insert `count` documents in all and print."""
    seconds: list[float] = []
    numbers = counter()

    async with journaled(url) as log:
        commit = GroupCommit(log)

        async def call() -> None:
            while (number := next(numbers)) < count:
                document = entry(number)
                started = perf_counter()
                await commit.insert(document)
                seconds.append(perf_counter() - started)

        started = perf_counter()
        await asyncio.gather(*(call() for _ in range(callers)))
        took = perf_counter() - started
    report(Finding.of("G", seconds, took))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mongo", required=True)
    parser.add_argument("--count", type=int, default=40_000)
    arguments = parser.parse_args()
    gc.disable()  # pauses of the client are not the server's
    uvloop.run(measure(arguments.mongo, arguments.count))
