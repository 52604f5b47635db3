"""Processor time of a service's own code, without servers and sockets: others hardly disturb it."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from time import process_time
from typing import Any

import uvloop

ROUNDS = 9

Part = Callable[[], Awaitable[None]]


async def cost_us(part: Part, times: int) -> float:
    """Return what one call costs, in microseconds of processor time: the best of ROUNDS rounds."""
    best = float("inf")
    for _ in range(ROUNDS + 1):
        began = process_time()
        for _ in range(times):
            await part()
        best = min(best, process_time() - began)
    return best / times * 1e6


async def until(done: Callable[[], bool]) -> None:
    """Let the loop go round until something is done."""
    while not done():  # noqa: ASYNC110  each round is part of what is measured
        await asyncio.sleep(0)


def run(measure: Coroutine[Any, Any, None]) -> None:
    """Run a measurement as the services run: on uvloop, with a collector that is calm."""
    gc.disable()
    uvloop.run(measure)
