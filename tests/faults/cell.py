"""One cell of the matrix: a fresh load, a fault while turns stream, and what the checker says."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from datetime import datetime

from tests.faults.checker import violations
from tests.faults.faults import AWAY_CELLS, AWAY_S, VICTIMS, Cell, inflict, outages
from tests.faults.faulty_stack import WORKERS, PairedStack
from tests.faults.history import Call, Fault, History, Record, RoomLog
from tests.faults.load import PATIENCE_S, Load
from tests.faults.rules.leases import OF_A_TURN
from tests.faults.rules.violation import Kind
from tests.faults.stored import Stored

SETTLE_S = 30.0
# The fault hits once the followers have seen between so many and so many events.
MOMENT = (150, 450)


async def run_cell(stack: PairedStack, cell: Cell, seed: int) -> Record:
    """Run a cell on a stack that is well, and return its line of the results."""
    chance = random.Random(f"{cell}:{seed}")  # noqa: S311 - repeatable, no secret
    victims = [chance.choice(VICTIMS[service]) for service in cell.services]
    patience_s = PATIENCE_S + (AWAY_S if cell in AWAY_CELLS else 0)
    load = Load(stack.gateways, stack.token, seed, patience_s=patience_s)
    with Stored(stack.mongo_url, stack.database) as stored:
        async with load.running():
            await load.seen(chance.randint(*MOMENT))
            victims = [await stack.process(victim) for victim in victims]
            # In threads: the load does not stand still meanwhile, and times nothing of it.
            sessions = await asyncio.to_thread(_sessions, stack)
            hit = [sessions[victim] for victim in victims if victim in sessions]
            held = await asyncio.to_thread(_held, stored, hit, list(load.sightings))
            fault = await inflict(stack, cell.kind, victims)
            await load.wind_down()
            history = await load.history(fault, stored, SETTLE_S)
    history.dead_letters = await stack.new_dead_letters()
    history.outages = outages(fault, sessions)
    return {**_line(cell, seed, history, held), "victim": "+".join(victims)}


def _sessions(stack: PairedStack) -> dict[str, str]:
    """Return the session of each room worker as it is now, by name."""
    return {worker: stack.session(worker) for worker in WORKERS}


def _held(stored: Stored, sessions: list[str], rooms: list[str]) -> list[str]:
    """Return the rooms whose turn runs under one of these sessions."""
    return [room for session in sessions for room in stored.held_by(session, rooms)]


def _line(cell: Cell, seed: int, history: History, held: list[str]) -> Record:
    found = violations(history)
    fault = history.fault
    posts = [call for call in history.calls if call.what == "post"]
    recovery = (
        _next_steps(history.logs, set(held), fault)
        if "room-worker" in cell.services
        else _served_again(posts, fault)
    )
    return {
        "cell": str(cell),
        "seed": seed,
        "pid": os.getpid(),
        "at": datetime.fromtimestamp(fault.began).astimezone().isoformat(timespec="seconds"),
        "fault_s": round(fault.healed - fault.began, 3),
        "counts": {
            "accepted": sum(call.accepted for call in posts),
            "refused": sum(call.status is not None and not call.accepted for call in posts),
            "unanswered": sum(call.status is None for call in posts),
            "events": sum(len(log.events) for log in history.logs),
            "released": sum(log.released for log in history.logs),
            "recovered": _count(history.logs, "room:recovered"),
            "reconnects": sum(len(one.cursors) - 1 for one in history.sightings),
            "lagged": sum(one.lagged for one in history.sightings),
            "slowest_call_s": round(max(call.took_s for call in history.calls), 3),
        },
        "errors": Counter(call.error for call in posts if not call.accepted),
        **{
            str(kind): sum(one.kind == kind for one in found)
            for kind in (Kind.LOST, Kind.DOUBLED, Kind.DISORDERED)
        },
        "violations": [str(one) for one in found],
        "recovery_s": [round(one, 3) for one in sorted(recovery)],
    }


def _count(logs: list[RoomLog], event_type: str) -> int:
    return sum(event["event_type"] == event_type for log in logs for event in log.events)


def _next_steps(logs: list[RoomLog], held: set[str], fault: Fault) -> list[float]:
    """Return for each room of the victim how long it took to the next step of a turn."""
    found = []
    for log in logs:
        steps = (
            at - fault.began
            for event in log.events
            if event["event_type"] in OF_A_TURN
            and (at := datetime.fromisoformat(event["created_at"]).timestamp()) >= fault.began
        )
        first = next(steps, None)
        if log.room in held and first is not None:
            found.append(first)
    return found


def _served_again(posts: list[Call], fault: Fault) -> list[float]:
    """Return how long it took to the first 2xx of a POST that was sent after the last failed one.

    Or after the fault, where none failed. A 409 is no failure: it says that an earlier request is
    in hand. Where a gateway was the victim only POSTs to it count: the other one never stopped.
    """
    to_victim = [call for call in posts if call.gateway == fault.victim] or posts
    after = [call for call in to_victim if call.began >= fault.began]
    failed = [call for call in after if call.status in (None, 503)]
    since = max((call.began for call in failed), default=fault.began)
    ends = [call.began + call.took_s for call in after if call.accepted and call.began >= since]
    return [min(ends) - fault.began] if ends else []
