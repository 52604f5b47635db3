"""One turn on its way: the executor's run, what it shows, how it stops."""

from __future__ import annotations

import asyncio
import itertools
from typing import Literal, NamedTuple

import structlog

from abbotik_contracts.policies import Actor
from abbotik_contracts.room_log import Record
from abbotik_kernel.retry import Backoff
from abbotik_room_worker.domain.room import Room, Turn
from abbotik_room_worker.performer import Performer
from abbotik_room_worker.ports import (
    RoomKey,
    TurnAnswer,
    TurnFailedError,
    TurnInput,
    UnavailableError,
)
from abbotik_room_worker.tool_calls import LeaseLostError, ToolCalls

log = structlog.get_logger(__name__)

_AGAIN = Backoff(first=0.05, ceiling=1.0)


class Ended(NamedTuple):
    """How a turn ended, before the log has it."""

    status: Literal["completed", "failed", "interrupted"]
    output: str | None
    usage: Record
    steps: tuple[Record, ...]
    context: Record
    error_code: str | None = None
    error_message: str = ""


class SoftStopError(Exception):
    """The turn was asked to stop and has come to a step."""


class Performance:
    """Runs one turn once; also how its executor reaches the room (`Emit`)."""

    def __init__(self, performer: Performer, key: RoomKey, room: Room, turn: Turn) -> None:
        self._with = performer
        self._key = key
        self._room = room
        self._turn = turn
        self._tenure = performer.tenure(key, room.epoch)
        self._calls = ToolCalls(
            performer, self._tenure, key, turn, room.epoch, room.config.tool_policy
        )
        self._said: list[str] = []
        self._offset = 0
        self._work: asyncio.Task[TurnAnswer] | None = None
        self._stopping: Literal["soft", "hard"] | None = None
        self._dropped = False
        self._late = False

    async def run(self) -> Ended | None:
        """Run to the end; None where the lease was lost on the way."""
        self._work = asyncio.create_task(self._perform())
        if self._dropped or self._stopping == "hard":
            self._work.cancel()
        remaining = (self._turn.deadline_at - self._with.clock.now_ms()) / 1000
        alarm = self._work.get_loop().call_later(max(0.0, remaining), self._run_out)
        try:
            ended = await self._end_of(self._work)
        finally:
            alarm.cancel()
        return None if self._dropped else ended

    def stop(self, *, hard: bool) -> None:
        """End the turn: at its next step, or at once. A turn that has ended stays as it is."""
        self._stopping = "hard" if hard else (self._stopping or "soft")
        if hard and self._work is not None:
            self._work.cancel()

    def drop(self) -> None:
        """Forget the turn at once: somebody else has it, or will."""
        self._dropped = True
        if self._work is not None:
            self._work.cancel()

    async def text(self, delta: str) -> None:
        """Show followers a piece of the answer, while this worker's session is alive."""
        self._check_stop()
        frame: Record = {
            "room_id": self._key[1],
            "turn_id": self._turn.id,
            "actor_key": self._turn.agent_id,
            "epoch": self._room.epoch,
            "offset": self._offset,
            "text": delta,
        }
        self._said.append(delta)
        self._offset += len(delta)
        if delta and self._with.sessions.live:
            await self._with.signals.delta(self._key, frame)

    async def call(self, name: str, arguments: Record) -> Record:
        """Run a tool as the room's policy allows, as steps in the log."""
        self._check_stop()
        return await self._calls.call(name, arguments)

    async def _perform(self) -> TurnAnswer:
        turn = self._turn
        executor = self._with.executors.get(turn.provider)
        if executor is None:
            raise TurnFailedError(
                "PROVIDER_NOT_CONFIGURED", f"provider {turn.provider!r} is not configured here"
            )
        for attempt in itertools.count():
            try:
                if self._room.last_event_seq > turn.first_event_seq:
                    await self._calls.read_settled()
                content = await self._with.room_log.content(self._key, turn.message_id)
                break
            except UnavailableError:
                await asyncio.sleep(_AGAIN.delay(attempt))
        # Last, since what was read may have been waited for.
        if not await self._tenure.stands():
            raise LeaseLostError
        return await executor.run(self._input(content), self)

    def _input(self, content: str) -> TurnInput:
        actors = self._room.config.actors
        actor = next((a for a in actors if a.agent_id == self._turn.agent_id), None)
        return TurnInput(
            key=self._key,
            turn_id=self._turn.id,
            epoch=self._room.epoch,
            actor=actor or Actor(agent_id=self._turn.agent_id),
            config=self._room.config,
            message_id=self._turn.message_id,
            content=content,
            context=self._context(),
        )

    def _context(self) -> Record:
        return {
            "message_seqs": [self._turn.message_seq],
            "policy_version": self._room.policy_version,
            "summary": bool(self._room.config.summary_text),
        }

    def _run_out(self) -> None:
        self._late = True
        if self._work is not None:
            self._work.cancel()

    async def _end_of(self, work: asyncio.Task[TurnAnswer]) -> Ended | None:
        """Say how the executor ended; None where the lease was lost."""
        try:
            answer = await work
        except asyncio.CancelledError:
            outer = asyncio.current_task()
            # A process that ends cancels its tasks; that is no interrupt of the turn.
            if not work.cancelled() or (outer is not None and outer.cancelling()):
                raise
            if self._late:
                return self._cut("failed", "TURN_TIMEOUT", "the turn passed its deadline")
            return self._cut("interrupted")
        except SoftStopError:
            return self._cut("interrupted")
        except LeaseLostError:
            return None
        except TurnFailedError as error:
            return self._cut("failed", error.code, str(error))
        except Exception as error:
            log.exception("turn.executor_broke", turn=self._turn.id)
            text = f"the executor broke: {type(error).__name__}"
            return self._cut("failed", "EXECUTOR_FAILED", text)
        steps = tuple(self._calls.steps)
        return Ended("completed", answer.text, answer.usage, steps, self._context())

    def _cut(
        self, status: Literal["failed", "interrupted"], code: str | None = None, message: str = ""
    ) -> Ended:
        """End a turn that did not come to its answer; what it had said is kept as output."""
        return Ended(
            status=status,
            output="".join(self._said) or None,
            usage={},
            steps=tuple(self._calls.steps),
            context=self._context(),
            error_code=code,
            error_message=message,
        )

    def _check_stop(self) -> None:
        if self._dropped:
            raise LeaseLostError
        if self._stopping is not None:
            raise SoftStopError
