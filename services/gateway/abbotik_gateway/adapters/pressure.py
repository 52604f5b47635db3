"""How much waits, read from the servers in the background so that no request has to."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import nats.errors
from pymongo.asynchronous.database import AsyncDatabase

from abbotik_contracts.subjects import consumer
from abbotik_gateway.adapters.away import mongo_away
from abbotik_gateway.domain.pressure import Limits, Readings, refusal
from abbotik_gateway.ports import UnavailableError
from abbotik_runtime.bus import Bus, BusUnavailable

READ_EVERY_S = 1.0
WORKERS = "workers"


class Pressure:
    """The readings of the last second. `read` is one pass of a loop; `check` costs nothing."""

    def __init__(self, bus: Bus, database: AsyncDatabase[dict[str, Any]], limits: Limits) -> None:
        self._bus = bus
        self._database = database
        self._limits = limits
        self._readings = Readings()

    def check(self, verb: str) -> None:
        """Raise the Problem of a command that would only wait; SERVICE_UNAVAILABLE with why."""
        problem = refusal(verb, self._readings, self._limits)
        if problem is not None:
            raise problem

    async def read(self) -> None:
        """Read what waits at both servers, one beside the other."""
        commands, turns, store_s, projection_s = await asyncio.gather(
            self._waiting("room-worker"),
            self._waiting("turns"),
            self._store_s(),
            self._projection_s(),
        )
        self._readings = Readings(commands, turns, store_s, projection_s)

    async def _waiting(self, name: str) -> int:
        declared = consumer(name)
        try:
            info = await self._bus.js.consumer_info(declared.stream, declared.name)
        except (BusUnavailable, nats.errors.Error):
            # Away: publishing says so by itself, and readiness too.
            return 0
        return info.num_pending or 0

    async def _store_s(self) -> float:
        began = monotonic()
        try:
            with mongo_away():
                await self._database.command("ping")
        except UnavailableError:
            # No answer at all: commands wait at NATS, and their senders hear 503 for that.
            return 0.0
        return monotonic() - began

    async def _projection_s(self) -> float:
        """Return the worst that a live worker said of itself with its last sign of life."""
        alive = {"$expr": {"$gt": ["$expires_at", "$$NOW"]}}
        wanted = {"_id": 0, "projection_age_ms": 1}
        try:
            with mongo_away():
                workers = await self._database[WORKERS].find(alive, wanted).to_list()
        except UnavailableError:
            return 0.0
        # A worker of the version before says nothing of it.
        return max((worker.get("projection_age_ms", 0) for worker in workers), default=0) / 1000
