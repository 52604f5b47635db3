"""Memory of each process of the stack, at rest and while 500 followers listen to one room.

PSS (shared pages counted by their share) and USS (own pages alone), from the kernel's smaps_rollup.
"""

import argparse
import asyncio
import re
from pathlib import Path

import uvloop

from bench.crowd import Crowd
from bench.product.rooms import events, message, rent, soon
from bench.samples import Finding, report
from bench.wire import Caller, Target

FOLLOWERS = 500
SETTLE_S = 2.0
ENDED = b"actor:turn_end"
OWN = re.compile(r"^Private_(?:Clean|Dirty): +(\d+) kB", re.MULTILINE)
SHARE = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)
# The goal speaks of these two.
COUNTED = ("gateway", "room-worker")


def memory(pid: int) -> tuple[int, int]:
    """Return PSS and USS of a process in kB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(map(int, SHARE.findall(rollup))), sum(map(int, OWN.findall(rollup)))


def counted(pids: dict[str, int]) -> int:
    """Return the PSS of gateway and one worker in kB."""
    return sum(memory(pids[name])[0] for name in COUNTED)


async def turn(crowd: Crowd, target: Target, room: str) -> None:
    """Run one turn until all followers have its end."""
    ended = asyncio.Event()
    crowd.on_all = lambda _name, _at: ended.set()
    caller = await Caller.connect(target)
    (await soon(caller.send(message(target, room)), "answer to a POST")).expect(202)
    await soon(ended.wait(), "end of the turn at all followers")
    caller.close()
    # What a turn took for a moment is given back.
    await asyncio.sleep(SETTLE_S)


async def measure(target: Target, pids: dict[str, int]) -> None:
    """Measure after a first turn with one follower, then with all of them; print."""
    (room,) = await rent(target)
    single = Crowd(1, frozenset([ENDED]))
    await single.connect(target, events(room))
    await turn(single, target, room)
    single.close()
    idle = counted(pids)
    processes = []
    for name, pid in pids.items():
        pss, uss = memory(pid)
        processes.append(Finding(f"{name} PSS", value=pss / 1024))
        processes.append(Finding(f"{name} USS", value=uss / 1024))
    crowd = Crowd(FOLLOWERS, frozenset([ENDED]))
    await crowd.connect(target, events(room))
    await turn(crowd, target, room)
    full = counted(pids)
    gateway = Finding("gateway PSS, 500 followers", value=memory(pids["gateway"])[0] / 1024)
    crowd.check()
    crowd.close()
    report(
        Finding("memory idle", value=idle / 1024),
        Finding("memory per follower", value=(full - idle) / FOLLOWERS),
        gateway,
        *processes,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--pid", action="append", required=True, metavar="NAME=PID")
    given = parser.parse_args()
    named = dict(pair.split("=", 1) for pair in given.pid)
    uvloop.run(measure(Target(given.port, given.token), {k: int(v) for k, v in named.items()}))
