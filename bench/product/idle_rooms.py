"""Many rooms in which nothing happens: what gateway and room worker burn and keep for them.

Compared with the same two before the rooms were rented: processor time while nobody asks for
anything, and PSS.
"""

import argparse
import asyncio
import os
from pathlib import Path
from time import monotonic

import uvloop

from bench.product.footprint import COUNTED, counted
from bench.product.rooms import rent
from bench.samples import Finding, report
from bench.wire import Target

# Divides the numbers of rooms.
AT_ONCE = 25
# Lists show a new room at once, its worker forgets what it owed within a second.
SETTLE_S = 3.0
WATCHED_S = 15.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def burnt_s(pids: dict[str, int]) -> float:
    """Return the processor time of both so far, in seconds."""
    spent = 0
    for name in COUNTED:
        fields = Path(f"/proc/{pids[name]}/stat").read_text().rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return spent * TICK_S


async def at_rest(pids: dict[str, int]) -> tuple[float, float]:
    """Return how much of one processor both take, in per cent, and their PSS in kB."""
    await asyncio.sleep(SETTLE_S)
    began, before = monotonic(), burnt_s(pids)
    await asyncio.sleep(WATCHED_S)
    return (burnt_s(pids) - before) / (monotonic() - began) * 100, counted(pids)


async def measure(target: Target, pids: dict[str, int], rooms: int) -> None:
    """Look at both before and after so many rooms were rented, and print."""
    # What the first of anything makes.
    await asyncio.gather(*(rent(target, 10) for _ in range(AT_ONCE)))
    burning, kept = await at_rest(pids)
    await asyncio.gather(*(rent(target, rooms // AT_ONCE) for _ in range(AT_ONCE)))
    burning_after, kept_after = await at_rest(pids)
    report(
        Finding("idle rooms, processor before", value=burning),
        Finding("idle rooms, processor", value=burning_after),
        Finding("idle rooms, memory", value=(kept_after - kept) / rooms),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--pid", action="append", required=True, metavar="NAME=PID")
    parser.add_argument("--count", type=int, default=10_000)
    given = parser.parse_args()
    named = dict(pair.split("=", 1) for pair in given.pid)
    uvloop.run(
        measure(Target(given.port, given.token), {k: int(v) for k, v in named.items()}, given.count)
    )
