"""Sending commands, each once: ids are minted here and, under a key, stored before the publish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from hashlib import sha256
from time import monotonic
from typing import Any, NamedTuple, TypedDict

import structlog
from pydantic import JsonValue

from abbotik_contracts.room_commands import RoomCommand, verb
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.keyed import Keyed, Step, in_progress, next_step
from abbotik_gateway.domain.outcome import Outcome
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.seen import SeenRevs
from abbotik_gateway.ports import (
    Commands,
    KeyStore,
    Pressure,
    UnavailableError,
    UnconfirmedError,
)
from abbotik_runtime.canonical import canonical
from abbotik_runtime.ids import uuid7
from abbotik_runtime.uncancelled import begun

log = structlog.get_logger(__name__)


class Ids(TypedDict):
    """What every command says beside its body."""

    id: str
    tenant: str
    room: str
    caller: str
    request_id: str


# What a key's last write may take, however late it is.
_LEAST_S = 0.2
# And after a write that MongoDB did not answer: it may be away, and the caller has waited already.
_UNHEARD_S = 1.0

Build = Callable[[Ids], RoomCommand]


class Order(NamedTuple):
    """A request for a command.

    ``room`` is None where the room is to be made. ``members`` are the body, which with the room
    and the verb tells requests of the same ``key`` apart. ``trace`` is the caller's `traceparent`;
    ``until`` is when the answer is due, by the monotonic clock.
    """

    caller: Caller
    request_id: str
    members: dict[str, JsonValue]
    until: float
    room: str | None = None
    key: str | None = None
    trace: str | None = None


class Settled(NamedTuple):
    """The outcome of a command; ``replayed`` says that it is a stored one."""

    outcome: Outcome
    replayed: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say so."""
        return {"Idempotent-Replayed": "true"} if self.replayed else {}


class Commanding:
    """Runs orders. Raises Problem for a refused one, UnavailableError and UnconfirmedError."""

    def __init__(
        self, commands: Commands, keys: KeyStore, seen: SeenRevs, pressure: Pressure
    ) -> None:
        self._commands = commands
        self._pressure = pressure
        self._keys = keys
        self._seen = seen

    async def run(self, route: str, order: Order, build: Build) -> Settled:
        """Return the outcome of the command that ``build`` makes from its ids."""
        room = order.room or uuid7()
        if order.key is None:
            outcome = await self._send(order, build, uuid7(), room)
            return Settled(outcome.settled())
        wanted = Keyed(
            tenant=order.caller.tenant,
            # One name for both families of paths.
            route=route if order.room is None else f"{order.room}/{route}",
            key=order.key,
            digest=sha256(canonical(order.members)).hexdigest(),
            command=uuid7(),
            room=room,
        )
        settled = await self._run_keyed(order, build, wanted)
        return Settled(settled.outcome.settled(settled.headers), settled.replayed)

    async def _run_keyed(self, order: Order, build: Build, wanted: Keyed) -> Settled:
        stored = await self._claim(order, wanted)
        if stored.outcome is not None:
            return Settled(stored.outcome, replayed=True)
        try:
            outcome = await self._send(order, build, stored.command, stored.room)
        except (UnavailableError, UnconfirmedError, Problem):
            await self._if_possible(self._keys.reopen(stored), order.until)
            raise
        # Before the answer: a second request that comes after it must find the outcome.
        await self._if_possible(self._keys.finish(stored, outcome), order.until)
        return Settled(outcome)

    async def _claim(self, order: Order, wanted: Keyed) -> Keyed:
        """Return what its key holds: an outcome, or the request that this one is to run."""
        stored = wanted
        try:
            stored = await self._keys.begin(wanted)
            step = next_step(wanted, stored)
            if step is Step.TAKE_OVER and not await self._keys.take_over(stored):
                raise in_progress()
        except UnavailableError:
            # It may be stored all the same, as a request that runs; the next one would wait for it.
            await self._if_possible(
                self._keys.reopen(stored), min(order.until, monotonic() + _UNHEARD_S)
            )
            raise
        return stored

    async def _send(self, order: Order, build: Build, command_id: str, room: str) -> Outcome:
        command = build(
            {
                "id": command_id,
                "tenant": order.caller.tenant,
                "room": room,
                "caller": order.caller.user_id,
                "request_id": order.request_id,
            }
        )
        self._pressure.check(verb(command))
        outcome = await self._commands.send(command, order.trace, order.until - monotonic())
        self._seen.note(order.caller.tenant, room, outcome.rev)
        return outcome

    @staticmethod
    async def _if_possible(write: Coroutine[Any, Any, None], until: float) -> None:
        """Await what only makes the key's next request quicker: the worker knows the command."""
        writing = begun(write)
        writing.add_done_callback(_written)
        await asyncio.wait([writing], timeout=max(_LEAST_S, until - monotonic()))


def _written(writing: asyncio.Task[None]) -> None:
    if writing.cancelled():
        log.warning("idempotency.unwritten", cause="the process ends")
    elif isinstance(error := writing.exception(), UnavailableError):
        log.warning("idempotency.unwritten", cause=repr(error))
    elif error is not None:
        log.error("idempotency.broke", exc_info=error)
