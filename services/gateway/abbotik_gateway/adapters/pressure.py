"""How much waits, read from the servers in the background so that no request has to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

import nats.errors
from nats.js.api import ConsumerInfo
from pymongo.asynchronous.database import AsyncDatabase

from abbotik_contracts.subjects import consumer
from abbotik_gateway.adapters.away import mongo_away
from abbotik_gateway.domain.pressure import Limits, Readings, refusal
from abbotik_gateway.ports import UnavailableError
from abbotik_runtime.bus import Bus, BusUnavailable

READ_EVERY_S = 1.0
WORKERS = "workers"


class Backlog:
    """How many messages of one consumer wait.

    What was delivered waits too where its worker does not go on: a paused one has taken up
    to 256, and what others passed on to it.
    ``silence_s`` is how long a worker may have a message without a sign, in seconds.
    """

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._delivered = -1
        self._since = 0.0

    def of(self, info: ConsumerInfo, now: float) -> int:
        """Return the number at ``now``, in seconds, from what the server says of the consumer."""
        delivered = info.delivered.consumer_seq if info.delivered else 0
        if delivered != self._delivered:
            self._delivered, self._since = delivered, now
        nobody_takes = now - self._since >= self._silence_s
        held = info.num_ack_pending if nobody_takes else info.num_redelivered
        return (info.num_pending or 0) + (held or 0)


class MajorityLag:
    """For how long the majority has not had what the primary had written."""

    def __init__(self) -> None:
        self._written: Any = None
        self._since = 0.0

    def of(self, last_write: Mapping[str, Any], now: float) -> float:
        """Return the seconds up to ``now`` from the `lastWrite` of a primary's `hello`."""
        if self._written is None or last_write["majorityOpTime"]["ts"] >= self._written:
            self._written, self._since = last_write["opTime"]["ts"], now
        return now - self._since


class Pressure:
    """The readings of the last second. `read` is one pass of a loop; `check` costs nothing."""

    def __init__(self, bus: Bus, database: AsyncDatabase[dict[str, Any]], limits: Limits) -> None:
        self._bus = bus
        self._database = database
        self._limits = limits
        self._readings = Readings()
        self._backlogs = {
            name: Backlog(consumer(name).ack_wait_s) for name in ("room-worker", "turns")
        }
        self._majority = MajorityLag()

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
        return self._backlogs[name].of(info, monotonic())

    async def _store_s(self) -> float:
        began = monotonic()
        try:
            with mongo_away():
                hello = await self._database.command("hello")
        except UnavailableError:
            # No answer at all: commands wait at NATS, and their senders hear 503 for that.
            return 0.0
        now = monotonic()
        # mongos has none.
        last_write = hello.get("lastWrite")
        lag = self._majority.of(last_write, now) if last_write else 0.0
        return max(now - began, lag)

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
