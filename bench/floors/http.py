"""Floor P: a bare Starlette POST on uvicorn with uvloop and httptools, 1 client and 64 clients."""

import argparse
import asyncio
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.children import asgi
from bench.samples import Finding, report
from bench.wire import Caller, Target, stand_back

BODY = b'{"kind":"task","content":"one small message of a person to a room","metadata":{}}'


async def accept(request: Request) -> Response:
    """Read the body and answer 202 with a small one."""
    await request.body()
    return Response(b'{"success":true,"data":{}}', 202, media_type="application/json")


app = Starlette(routes=[Route("/", accept, methods=["POST"])])


async def one_client(target: Target, count: int) -> Finding:
    """Post `count` times, one after the other."""
    caller, request, seconds = await Caller.connect(target), target.post("/", BODY), []
    for _ in range(count + 200):
        started = perf_counter()
        answer = await caller.send(request)
        seconds.append(answer.at - started)
        answer.expect(202)
    caller.close()
    return Finding.of("P1", seconds[200:])


async def many_clients(target: Target, count: int, clients: int = 64) -> Finding:
    """Post `count` times from `clients` connections that share the work."""
    callers = [await Caller.connect(target) for _ in range(clients)]
    request, seconds = target.post("/", BODY), list[float]()
    work = iter(repeat(None, count))

    async def post(caller: Caller) -> None:
        for _ in work:
            started = perf_counter()
            seconds.append((await caller.send(request)).at - started)

    started = perf_counter()
    await asyncio.gather(*map(post, callers))
    took = perf_counter() - started
    for caller in callers:
        caller.close()
    return Finding.of("P64", seconds, took)


async def measure(port: int, count: int) -> None:
    """Measure both and print them."""
    target = Target(port)
    report(await one_client(target, count), await many_clients(target, count * 10))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4000)
    with (
        TemporaryDirectory() as home,
        asgi("bench.floors.http:app", Path(home) / "uvicorn.log") as port,
    ):
        stand_back()
        uvloop.run(measure(port, parser.parse_args().count))
