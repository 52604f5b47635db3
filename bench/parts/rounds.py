"""Processor time of a service's own code, without servers and sockets: others hardly disturb it."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from time import process_time
from typing import Any

import uvloop

ROUNDS = 9
# Of the event loop; what is measured takes a few.
_MOST_TURNS = 100_000

Part = Callable[[], Awaitable[None]]


async def cost_us(part: Part, times: int) -> float:
    """Return what one call costs, in microseconds of processor time: the best of ROUNDS rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = process_time()
        for _ in range(times):
            await part()
        best = min(best, process_time() - began)
    return best / times * 1e6


async def until(done: Callable[[], bool]) -> None:
    """Let the loop go round until something is done; RuntimeError where it never is."""
    for _ in range(_MOST_TURNS):
        if done():
            return
        await asyncio.sleep(0)
    raise RuntimeError("what is measured does not end: it was refused, or broke")


def run(measure: Coroutine[Any, Any, None]) -> None:
    """Run a measurement as the services run: on uvloop, with a collector that is calm."""
    gc.disable()
    uvloop.run(measure)
