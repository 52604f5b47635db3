"""A portion of a kill campaign: fresh rooms under load, one kill after another, then the checker.

A round kills two or three of the four room-workers with signal 9 at the same moment, starts them
again at once, and ends when every room whose turn ran on them has gone on.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path

from abbotik_cli import services
from tests.faults.checker import violations
from tests.faults.history import Fault, History, Outage, Record, RoomLog
from tests.faults.load import Load
from tests.faults.rules.leases import OF_A_TURN
from tests.faults.rules.violation import Kind
from tests.faults.stored import Stored
from tests.stack import Stack

WORKER = "room-worker"
WORKERS = services.numbered(WORKER, 4)
# One is left in any case.
AT_ONCE = (2, 3)
ROOMS = 12
WRITERS = 3
# So many events are seen between two rounds: then all workers have turns again.
EVENTS_BETWEEN = (20, 80)
GO_ON_S = 30.0
SETTLE_S = 30.0


class CampaignStack(Stack):
    """Two gateways and four room-workers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, gateways=2, room_workers=len(WORKERS))

    @property
    def gateways(self) -> dict[str, str]:
        """The gateways' base URLs by name."""
        return dict(zip(services.numbered(services.GATEWAY, 2), self.urls, strict=True))


@dataclass(frozen=True, slots=True)
class Death:
    """One killed worker: the signal went out at ``at``, the process had gone at ``gone``."""

    victim: str
    pid: int
    session: str
    at: float
    gone: float


@dataclass(frozen=True, slots=True)
class Kill:
    """A death and the rooms whose turn ran there; ``together`` is how many died in that round."""

    death: Death
    held: list[str]
    together: int


async def run_portion(stack: CampaignStack, seed: int, count: int, until: float) -> list[Record]:
    """Kill ``count`` workers, or fewer where ``until`` comes first; return a line for each.

    ``until`` is an instant of the monotonic clock; the first round comes in any case.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable, no secret
    load = Load(stack.gateways, stack.token, seed, rooms=ROOMS, writers=WRITERS)
    kills: list[Kill] = []
    with Stored(stack.mongo_url, stack.database) as stored:
        async with load.running():
            began = time.time()
            while len(kills) < count and (not kills or time.monotonic() < until):
                try:
                    await load.seen(load.events + chance.randint(*EVENTS_BETWEEN))
                except TimeoutError:
                    # Everything stands still: the checker has to say why.
                    break
                victims = chance.sample(WORKERS, min(chance.choice(AT_ONCE), count - len(kills)))
                died = await asyncio.to_thread(_kill, stack, stored, victims, list(load.sightings))
                kills += died
                await asyncio.gather(
                    asyncio.to_thread(stack.bring_back, *victims), _all_go_on(load, died)
                )
            await load.wind_down()
            fault = Fault(WORKER, "kill", began, healed=time.time())
            history = await load.history(fault, stored, SETTLE_S)
            history.dead_letters = await stack.new_dead_letters()
    history.outages = [Outage(kill.death.session, kill.death.at) for kill in kills]
    outcome = _outcome(history)
    return [_line(seed, kill, history.logs, outcome) for kill in kills]


def _kill(stack: CampaignStack, stored: Stored, victims: list[str], rooms: list[str]) -> list[Kill]:
    """Kill all of them, then look what they held: it stays theirs for as long as nobody knows."""
    deaths = [_die(stack, victim) for victim in victims]
    return [Kill(death, stored.held_by(death.session, rooms), len(deaths)) for death in deaths]


def _die(stack: CampaignStack, victim: str) -> Death:
    pid, session, at = stack.pids[victim], stack.session(victim), time.time()
    stack.kill(victim)
    return Death(victim, pid, session, at, gone=time.time())


async def _all_go_on(load: Load, kills: list[Kill]) -> None:
    """Return when a follower of each room saw it go on; whoever is too late is in the results."""
    waiting = [(load.sightings[room].events, kill) for kill in kills for room in kill.held]
    with suppress(TimeoutError):
        async with asyncio.timeout(GO_ON_S):
            await load.until(lambda: all(_went_on_at(*one) is not None for one in waiting))


def _went_on_at(events: list[Record], kill: Kill) -> float | None:
    """Return when a room took the first step of a turn after a death, if it did."""
    after = takewhile(lambda event: _instant(event) > kill.death.gone, reversed(events))
    steps = [_instant(event) for event in after if event["event_type"] in OF_A_TURN]
    return min(steps, default=None)


def _instant(event: Record) -> float:
    return datetime.fromisoformat(event["created_at"]).timestamp()


def _line(seed: int, kill: Kill, logs: list[RoomLog], outcome: Record) -> Record:
    death = kill.death
    went_on = [_went_on_at(log.events, kill) for log in logs if log.room in kill.held]
    return {
        "seed": seed,
        "pid": death.pid,
        "victim": death.victim,
        "at": datetime.fromtimestamp(death.at).astimezone().isoformat(timespec="milliseconds"),
        "together": kill.together,
        "held": len(kill.held),
        "takeover_s": sorted(round(at - death.at, 3) for at in went_on if at is not None),
        "portion": outcome,
    }


def _outcome(history: History) -> Record:
    """Return what the checker says of the whole portion, and how much it looked at."""
    found = violations(history)
    harms = (Kind.LOST, Kind.DOUBLED, Kind.DISORDERED)
    return {
        "began": datetime.fromtimestamp(history.fault.began)
        .astimezone()
        .isoformat(timespec="milliseconds"),
        "messages": sum(call.accepted for call in history.calls if call.what == "post"),
        "events": sum(len(log.events) for log in history.logs),
        **{str(kind): sum(one.kind == kind for one in found) for kind in harms},
        "violations": [str(one) for one in found],
        "load_average": round(os.getloadavg()[0], 2),
    }
