"""What the room worker does with a message from the bus: decide, answer, settle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from pydantic import ValidationError
from structlog.contextvars import bind_contextvars

from abbotik_contracts.large_content import apart
from abbotik_contracts.room_commands import PostMessage, RoomCommand, WakeRoom, decode
from abbotik_contracts.room_log import INLINE_BYTES, Record
from abbotik_contracts.subjects import HEADER_BLOB, HEADER_REPLY
from abbotik_kernel.clock import Clock
from abbotik_kernel.outcome import Done, Outcome, Reject, Retry
from abbotik_room_worker.commits import Applied
from abbotik_room_worker.domain.broken import Broken
from abbotik_room_worker.domain.draft import Nothing
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.domain.takeover import Recover
from abbotik_room_worker.domain.ticks import Tick
from abbotik_room_worker.domain.turns import Claim
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.ports import Contents, Exceptions, RoomKey, UnavailableError
from abbotik_room_worker.runner import TurnRunner

log = structlog.get_logger(__name__)

_AGAIN_S = 1.0
_CLOCKS_APART_MS = 5 * 60_000
_MOST_EXCEPTIONS = 3

# Inbox, command, outcome.
Reply = Callable[[str, str, Record], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Installation:
    """What this installation gives a room that asks for nothing special."""

    provider: str
    model: str
    max_queue: int


class RoomCommands:
    """Handles commands of the gateway: each is decided once and answered as often as it comes.

    While rooms wait for a free worker, a message does not begin its turn here at once, else they
    would starve.
    """

    def __init__(
        self,
        keeper: RoomKeeper,
        runner: TurnRunner,
        contents: Contents,
        exceptions: Exceptions,
        reply: Reply,
        installation: Installation,
    ) -> None:
        self._keeper = keeper
        self._runner = runner
        self._contents = contents
        self._exceptions = exceptions
        self._reply = reply
        self._installation = installation

    async def handle(self, subject: str, data: bytes, headers: Mapping[str, str]) -> Outcome:
        """Decide one command. Bad weather is a Retry; only what can never work is a Reject."""
        try:
            tenant, room = subject.split(".")[2:4]
            command = await self._read(tenant, data, headers)
        except UnavailableError:
            return Retry(_AGAIN_S)
        except (ValidationError, ValueError) as error:
            return Reject("UNDECODABLE", str(error))
        if (tenant, room) != (command.tenant, command.room):
            return Reject("UNDECODABLE", "the subject names another room than the command")
        # Each message is handled in a task of its own, so this holds for its log lines alone.
        bind_contextvars(request_id=command.request_id, tenant=command.tenant, room=command.room)
        return await self._outcome(command, headers.get(HEADER_REPLY))

    async def _outcome(self, command: RoomCommand, reply_to: str | None) -> Outcome:
        try:
            await self._decide(command, reply_to)
        except UnavailableError as error:
            log.warning("command.waits", command=command.id, error=str(error))
            return Retry(_AGAIN_S)
        except Exception as error:
            log.exception("command.broke", command=command.id)
            return await self._broke(command, error)
        return Done()

    async def _broke(self, command: RoomCommand, error: Exception) -> Outcome:
        """Have it tried again, three times by all workers together; then a person decides."""
        try:
            exceptions = await self._exceptions.count(command.tenant, command.id)
            if exceptions < _MOST_EXCEPTIONS:
                return Retry(_AGAIN_S)
            # First: what is told cannot be taken back, and is told once.
            await self._exceptions.forget(command.tenant, command.id)
            await self._tell_broken(command)
        except UnavailableError as away:
            log.warning("command.broke_waits", command=command.id, error=str(away))
            return Retry(_AGAIN_S)
        return Reject("COMMAND_BROKE", f"{type(error).__name__}: {error}")

    async def _tell_broken(self, command: RoomCommand) -> None:
        """Tell the room's followers, if that at least can be done. Raises UnavailableError."""
        key = (command.tenant, command.room)
        try:
            # It may have been carried out, and only its answer have failed.
            if await self._keeper.is_settled(key, command.id):
                return
            told = await self._keeper.held(key, Broken(command.id))
            if isinstance(told, Applied):
                await told.projected
        except UnavailableError:
            raise
        except Exception:
            log.exception("command.broke_untold", command=command.id)

    async def _read(self, tenant: str, data: bytes, headers: Mapping[str, str]) -> RoomCommand:
        digest = headers.get(HEADER_BLOB)
        if digest is not None:
            stored = await self._contents.get(tenant, digest)
            if stored is None:
                raise ValueError(f"the command's body {digest} is not stored")
            data = stored
        return decode(data)

    async def _decide(self, command: RoomCommand, reply_to: str | None) -> None:
        blob = await self._content_stored_apart(command)
        with self._runner.offer() as claim:
            around = Circumstances(
                provider=self._installation.provider,
                model=self._installation.model,
                max_queue=self._installation.max_queue,
                claim=None if self._runner.rooms_wait() else claim,
                blob=blob,
            )
            settled = await self._keeper.request(command, around)
        if command.name == "room.rent.v1":
            # Lists show a room as soon as its renter knows of it.
            await settled.projected
        if reply_to is not None:
            await self._reply(reply_to, command.id, settled.outcome)
        await settled.projected

    async def _content_stored_apart(self, command: RoomCommand) -> str | None:
        if not isinstance(command, PostMessage | WakeRoom) or command.body.content is None:
            return None
        data = apart(command.body.content)
        if len(data) <= INLINE_BYTES:
            return None
        return await self._contents.put(command.tenant, data)


class Reminders:
    """Handles reminders: the time of a room's next occurrence, in ms, has come."""

    def __init__(self, keeper: RoomKeeper, clock: Clock, max_queue: int) -> None:
        self._keeper = keeper
        self._clock = clock
        self._tick = Tick(keeper.session, max_queue)

    async def take(self, key: RoomKey, data: bytes) -> Outcome:
        """Keep what is due; a reminder of an occurrence that was kept or withdrawn does nothing."""
        try:
            at = int(data)
        except ValueError:
            return Reject("UNDECODABLE", "a reminder holds a time in ms")
        early = at - self._clock.now_ms()
        if early > _CLOCKS_APART_MS:
            # No clock is so wrong. The sweep keeps the occurrence when its time has come.
            return Done()
        if early > 0:
            # The bus tells time by a clock of its own.
            return Retry(early / 1000)
        try:
            kept = await self._keeper.held(key, self._tick)
        except UnavailableError as error:
            log.warning("wake.waits", room=key[1], error=str(error))
            return Retry(_AGAIN_S)
        if isinstance(kept, Applied):
            await kept.projected
        return Done()


class WaitingRooms:
    """Handles triggers: a room has work, and this worker has a free slot."""

    def __init__(self, keeper: RoomKeeper, runner: TurnRunner) -> None:
        self._keeper = keeper
        self._runner = runner

    async def take(self, key: RoomKey, confirm: Callable[[], Awaitable[bool]]) -> Outcome | None:
        """Claim the room, or find that nothing waits there any more.

        ``confirm`` acknowledges the trigger and waits until the server has it. Only then may a
        fresh read say that the room waits for nothing: a message that came between our read and
        the ack found its trigger taken for said. None means that the trigger is settled.
        """
        try:
            with self._runner.offer() as claim:
                if claim is None:
                    return Retry(_AGAIN_S)
                taken = await self._take(key, claim)
            if isinstance(taken, Applied):
                await taken.projected
                await confirm()
                return None
            if await confirm():
                await self._keeper.refresh(key)
                return None
        except UnavailableError as error:
            log.warning("turn.claim_waits", room=key[1], error=str(error))
        return Retry(_AGAIN_S)

    async def _take(self, key: RoomKey, claim: Claim) -> Applied | Nothing:
        taken = await self._keeper.held(key, claim)
        if isinstance(taken, Applied):
            return taken
        room = await self._keeper.refresh(key)
        if room is None or room.turn is None or room.lease is not None:
            return taken
        return await self._keeper.held(key, Recover(claim.session, None, room.epoch))
