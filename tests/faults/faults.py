"""The faults: what is done to which process, and for how long."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass

from tests.faults.disk_stack import DiskStack
from tests.faults.faulty_stack import GATEWAYS, WORKERS, FaultyStack, PairedStack
from tests.faults.history import Fault

PAUSE_S = 10.0
CUT_S = 8.0
AWAY_S = 60.0
# Every process can be ended or paused; only those with work in hand are cut off.
PROCESS_KINDS = ("kill", "pause", "term")
LINK_KINDS = ("cut-nats", "cut-mongo", "hold-nats", "hold-mongo")
PROCESSES = ("gateway", "room-worker", "factory", "verifier", "nats-server", "mongod")
AWAY_KINDS = ("away",)
DISK_KINDS = ("power-cut", "power-cut-alone", "disk-full")
VICTIMS = {
    "gateway": GATEWAYS,
    "room-worker": WORKERS,
    "factory": ("factory",),
    "verifier": ("verifier",),
    "nats-server": ("nats-server",),
    "mongod": ("mongod",),
    # Which process that is turns out when it is hit.
    "nats-leader": ("nats-leader",),
    "nats-node": ("nats-node",),
    "mongo-primary": ("mongo-primary",),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the matrix: a fault of a kind of process."""

    service: str
    kind: str

    def __str__(self) -> str:
        return f"{self.service}:{self.kind}"


CELLS = [
    *(Cell(service, kind) for kind in PROCESS_KINDS for service in PROCESSES),
    *(Cell(service, kind) for kind in LINK_KINDS for service in ("gateway", "room-worker")),
]

# Those that take a minute each.
AWAY_CELLS = [Cell(service, kind) for kind in AWAY_KINDS for service in ("nats-server", "mongod")]

# Those for disks, on a stack of their own.
DISK_CELLS = [Cell(service, kind) for kind in DISK_KINDS for service in ("nats-server", "mongod")]


# Those for servers that are clusters, on a stack of their own.
CLUSTERED_CELLS = [
    Cell("nats-leader", "kill"),
    Cell("nats-node", "kill"),
    Cell("nats-node", "pause"),
    Cell("mongo-primary", "kill"),
    Cell("mongo-primary", "pause"),
]


async def inflict(stack: PairedStack, kind: str, victim: str) -> Fault:
    """Do it and undo it; returns when the victim is as it was before."""
    if isinstance(stack, DiskStack):
        return await stack.suffer(kind, victim)
    began = time.time()
    if kind == "pause":
        stack.kill(victim, signal.SIGSTOP)
        await asyncio.sleep(PAUSE_S)
        stack.kill(victim, signal.SIGCONT)
    elif kind in AWAY_KINDS:
        stack.kill(victim)
        await asyncio.sleep(AWAY_S)
        stack.spawn([victim])
        await asyncio.to_thread(stack.wait_ready, [victim])
    elif kind in PROCESS_KINDS:
        number = signal.SIGKILL if kind == "kill" else signal.SIGTERM
        await asyncio.to_thread(stack.start_again, victim, number)
    elif isinstance(stack, FaultyStack):
        how, _, server = kind.partition("-")
        (stack.cut if how == "cut" else stack.hold)(victim, server)
        await asyncio.sleep(CUT_S)
        stack.flow(victim, server)
    else:
        raise ValueError(f"{victim} has no link for {kind}")
    return Fault(victim, kind, began, healed=time.time())
