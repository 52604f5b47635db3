"""The faults: what is done to which process, and for how long."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.faults.clustered_stack import ClusteredStack
from tests.faults.disk_stack import DiskStack
from tests.faults.faulty_stack import GATEWAYS, WORKERS, FaultyStack, PairedStack
from tests.faults.history import Fault, Outage

PAUSE_S = 10.0
CUT_S = 8.0
# Each way: a call to a server takes twice that, and many a command two or three of them.
SLOW_S = 0.4
AWAY_S = 60.0
# Longer than its peers take to elect another.
APART_S = 12.0
PROCESS_KINDS = ("kill", "pause", "term")
LINK_KINDS = ("cut-nats", "cut-mongo", "hold-nats", "hold-mongo")
SLOW_KINDS = ("slow-nats", "slow-mongo")
SERVICES = ("gateway", "room-worker", "factory", "verifier")
PROCESSES = (*SERVICES, "nats-server", "mongod")
# Two at the same moment.
PAIRS = (
    "gateway+room-worker",
    "gateway+nats-server",
    "room-worker+nats-server",
    "room-worker+mongod",
    "nats-server+mongod",
)
AWAY_KINDS = ("away",)
DISK_KINDS = ("power-cut", "power-cut-alone", "disk-full")
# What these hit is gone for good, and what is started in its place is another one.
ENDING = ("kill", "term", "power-cut")
# And these keep a room worker from renewing its session for as long as they last.
SILENCING = ("pause", "cut-mongo", "hold-mongo")
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
    """A cell of the matrix: a fault of a kind of process, or of two at once (`one+other`)."""

    service: str
    kind: str

    def __str__(self) -> str:
        return f"{self.service}:{self.kind}"

    @property
    def services(self) -> tuple[str, ...]:
        """The kinds of process that are hit."""
        return tuple(self.service.split("+"))


CELLS = [
    *(Cell(service, kind) for kind in PROCESS_KINDS for service in PROCESSES),
    *(Cell(service, kind) for kind in LINK_KINDS for service in SERVICES),
    # The others have no work yet that could be slow.
    *(Cell(service, kind) for kind in SLOW_KINDS for service in ("gateway", "room-worker")),
    *(Cell(pair, "kill") for pair in PAIRS),
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
    Cell("nats-leader", "apart"),
    Cell("mongo-primary", "kill"),
    Cell("mongo-primary", "pause"),
    Cell("mongo-primary", "apart"),
]


async def inflict(stack: PairedStack, kind: str, victims: Sequence[str]) -> Fault:
    """Do it to all of them at once, and undo it; returns when they are as they were before."""
    first, *others = victims
    if isinstance(stack, DiskStack):
        return await stack.suffer(kind, first)
    began = time.time()
    await asyncio.gather(*(_suffer(stack, kind, victim) for victim in victims))
    return Fault(first, kind, began, healed=time.time(), others=tuple(others))


def outages(fault: Fault, sessions: Mapping[str, str]) -> list[Outage]:
    """Return what the fault did to sessions of room workers, given by name as they were before."""
    hit = [sessions[name] for name in (fault.victim, *fault.others) if name in sessions]
    if fault.kind in ENDING:
        return [Outage(session, fault.began) for session in hit]
    if fault.kind in SILENCING:
        return [Outage(session, fault.began, fault.healed) for session in hit]
    return []


async def _suffer(stack: PairedStack, kind: str, victim: str) -> None:
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
    elif kind == "apart" and isinstance(stack, ClusteredStack):
        with stack.parted(victim):
            await asyncio.sleep(APART_S)
    elif isinstance(stack, FaultyStack):
        how, _, server = kind.partition("-")
        if how == "slow":
            stack.slow(victim, server, SLOW_S)
        else:
            (stack.cut if how == "cut" else stack.hold)(victim, server)
        await asyncio.sleep(CUT_S)
        stack.flow(victim, server)
    else:
        raise ValueError(f"{victim} has no link for {kind}")
