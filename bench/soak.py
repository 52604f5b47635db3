"""`make soak`: minutes in which followers come and go, then very many followers of one room.

Two gateways, one room-worker, servers of their own. First `--minutes` of churn (see `churn.py`),
while the memory of both gateways is sampled: first, because what a large crowd leaves free in them
would hide a leak. Then 5 000 followers of one room, each of which has to get every event exactly
once. Ends with code 1 where something is not as it should be.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import urlsplit

import uvloop

from bench.churn import Churn
from bench.crowd import Crowd
from bench.limits import allow_files
from bench.product.footprint import memory
from bench.product.rooms import events, message, rent, soon
from bench.usage import Usage, quiet
from bench.wire import Caller, Target
from tests.eventually import eventually
from tests.stack import Stack

FOLLOWERS = 5_000
MESSAGES = 20
# Followers' ends here; the gateways have no more than that each.
FILES = FOLLOWERS + 1_000
GATEWAYS = ("gateway", "gateway-2")
DELIVERED_S = 60.0
ENDED = b"actor:turn_end"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long followers churn")
    parser.add_argument("--seed", type=int, default=1, help="decides who comes and goes when")
    return parser.parse_args()


async def crowd_of_one_room(stack: Stack, targets: list[Target]) -> None:
    """Have all followers see every event once; RuntimeError where one does not."""
    (room,) = await rent(targets[0])
    share = FOLLOWERS // len(targets)
    crowds = [Crowd(share, frozenset([ENDED])) for _ in targets]
    began = perf_counter()
    for crowd, target in zip(crowds, targets, strict=True):
        await crowd.connect(target, events(room))
    connected = perf_counter() - began
    caller, request = await Caller.connect(targets[0]), message(targets[0], room)
    lags = sorted([await _turn_at_all(crowds, caller, request) for _ in range(MESSAGES)])
    answer = await soon(caller.send(targets[0].get(f"/llm/room/{room}")), "answer to a GET")
    head = int(json.loads(answer.expect(200))["data"]["last_event_seq"])
    await eventually(lambda: all(one.deliveries >= share * head for one in crowds), DELIVERED_S)
    pss = ", ".join(f"{name} {memory(stack.pids[name])[0] / 1024:.0f} MB" for name in GATEWAYS)
    for crowd in crowds:
        crowd.check()
        if crowd.deliveries != share * head:
            raise RuntimeError(f"{crowd.deliveries} deliveries of {head} events to {share}")
        crowd.close()
    caller.close()
    say(
        f"{FOLLOWERS} followers of one room connected in {connected:.1f} s; each got {head} events "
        f"exactly once; a turn's end was with all of them after {lags[len(lags) // 2]:.2f} s, "
        f"median of {MESSAGES}; PSS {pss}"
    )


async def _turn_at_all(crowds: list[Crowd], caller: Caller, request: bytes) -> float:
    """Post a message and return the seconds until all followers have the end of its turn."""
    loop = asyncio.get_running_loop()
    everybody: list[asyncio.Future[float]] = [loop.create_future() for _ in crowds]
    for crowd, here in zip(crowds, everybody, strict=True):
        crowd.on_all = partial(_note, here)
    began = perf_counter()
    (await soon(caller.send(request), "answer to a POST")).expect(202)
    return max(await asyncio.wait_for(asyncio.gather(*everybody), DELIVERED_S)) - began


def _note(here: asyncio.Future[float], _name: bytes, at: float) -> None:
    here.set_result(at)


async def churn_flat(stack: Stack, targets: list[Target], minutes: float, seed: int) -> list[str]:
    """Have followers come and go, and return what was not as it should be."""
    usages = [Usage(name, stack.pids[name], stack.metrics[name]) for name in GATEWAYS]
    for usage in usages:
        await quiet(usage)
        usage.begin()
    churn = Churn(targets, seed)
    await churn.run(minutes * 60, usages)
    say(str(churn))
    faults = list(churn.faults)
    if not churn.told_lagged or not churn.cut:
        faults.append("nobody lagged, or nobody was cut: the load was too small")
    for usage in usages:
        await quiet(usage)
        say(str(usage))
        if not usage.flat or not usage.back:
            faults.append(f"{usage.name} keeps something")
    return faults


async def soak(stack: Stack, minutes: float, seed: int) -> list[str]:
    """Run both parts and return what was not as it should be."""
    targets = [Target(urlsplit(url).port or 0, stack.token) for url in stack.urls]
    faults = await churn_flat(stack, targets, minutes, seed)
    await crowd_of_one_room(stack, targets)
    return faults


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run, print, and return 1 where something was not as it should be."""
    # SIGTERM unwinds like Ctrl-C, so that every child is ended.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    asked = options()
    allow_files(FILES)
    say(f"load average {os.getloadavg()[0]:.2f}")
    with (
        TemporaryDirectory(prefix="abbotik-soak-") as folder,
        Stack(Path(folder), gateways=len(GATEWAYS)) as stack,
    ):
        faults = uvloop.run(soak(stack, asked.minutes, asked.seed))
    say(f"load average {os.getloadavg()[0]:.2f}")
    for fault in faults:
        say(f"NOT SOUND: {fault}")
    say("sound" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
