"""Tool calls of a turn: each is a step in the log when it starts and when it is settled."""

from __future__ import annotations

import asyncio
import itertools

from abbotik_contracts.policies import ToolPolicy
from abbotik_contracts.room_log import Record
from abbotik_kernel.retry import Backoff
from abbotik_room_worker.domain.draft import Nothing
from abbotik_room_worker.domain.room import OpenCall, Turn
from abbotik_room_worker.domain.turns import Step
from abbotik_room_worker.performer import Performer
from abbotik_room_worker.ports import (
    RoomKey,
    SettledCall,
    TurnFailedError,
    UnavailableError,
)
from abbotik_room_worker.tenure import Tenure
from abbotik_runtime.ids import uuid7
from abbotik_runtime.uncancelled import begun

_AGAIN = Backoff(first=0.05, ceiling=1.0)


class LeaseLostError(Exception):
    """Nothing that this turn does may reach the room any more."""


class ToolCalls:
    """The calls of one turn under one lease, in the order in which the executor makes them.

    What an earlier holder of the turn settled is answered from the log and not run again.
    """

    def __init__(
        self,
        performer: Performer,
        tenure: Tenure,
        key: RoomKey,
        turn: Turn,
        epoch: int,
        policy: ToolPolicy,
    ) -> None:
        self._with = performer
        self._tenure = tenure
        self._key = key
        self._turn = turn
        self._epoch = epoch
        self._policy = policy
        self._left_open = list(turn.open_calls)
        self._settled: list[SettledCall] = []
        self.steps: list[Record] = []

    async def read_settled(self) -> None:
        """Learn from the log what an earlier holder of this turn has done."""
        events = await self._with.room_log.events_of_turn(
            self._key, self._turn.id, self._turn.first_event_seq
        )
        # Anew each time: it is asked again where what follows it fails.
        self._settled = [
            _settled_call(payload)
            for event in events
            if event["event_type"] == "tool:end" and isinstance(payload := event["payload"], dict)
        ]

    async def call(self, name: str, arguments: Record) -> Record:
        """Run a tool, or return what it returned before. Raises LeaseLostError."""
        if self._settled:
            earlier = self._settled.pop(0)
            self._note(earlier.call_id, earlier.name, earlier.result)
            return earlier.result
        left_open = self._taken_over(name)
        call = left_open or await self._open(name, arguments)
        if left_open is not None and not left_open.idempotent:
            # It was started by a worker that is gone; whether it took effect nobody can say.
            result = _error("TOOL_OUTCOME_UNKNOWN", "the worker was lost while the tool ran")
        else:
            result = await self._run(name, arguments)
        await self._settle(call, result)
        return result

    def _taken_over(self, name: str) -> OpenCall | None:
        """Return the call that an earlier holder started and did not settle, once."""
        for call in self._left_open:
            if call.name == name:
                self._left_open.remove(call)
                return call
        return None

    async def _open(self, name: str, arguments: Record) -> OpenCall:
        tool = self._with.tools.get(name)
        call = OpenCall(uuid7(), name, tool is not None and tool.idempotent)
        session = self._with.keeper.session
        await self._commit(
            Step(session, self._epoch, self._turn.id, opened=(call,), arguments=arguments)
        )
        return call

    async def _run(self, name: str, arguments: Record) -> Record:
        named = name in self._policy.tools
        if named is (self._policy.mode == "deny"):
            return _error("TOOL_DENIED", f"the room's tool policy refuses {name!r}")
        tool = self._with.tools.get(name)
        if tool is None:
            return _error("TOOL_FAILED", f"there is no tool {name!r}")
        if not await self._tenure.stands():
            raise LeaseLostError
        try:
            return await tool(arguments)
        except TurnFailedError as error:
            return _error(error.code, str(error))

    async def _settle(self, call: OpenCall, result: Record) -> None:
        self._note(call.call_id, call.name, result)
        shown: Record = {"error": result["error"]} if "error" in result else {"result": result}
        settled: Record = {
            "call_id": call.call_id,
            "name": call.name,
            "status": _status(result),
            **shown,
        }
        session = self._with.keeper.session
        await self._commit(Step(session, self._epoch, self._turn.id, settled=(settled,)))

    async def _commit(self, step: Step) -> None:
        for attempt in itertools.count():
            await self._with.in_touch()
            try:
                # A stop must not cut a commit: it is projected and said, or nothing of it is there.
                applied = await asyncio.shield(begun(self._with.keeper.held(self._key, step)))
            except UnavailableError:
                await asyncio.sleep(_AGAIN.delay(attempt))
                continue
            if isinstance(applied, Nothing) and applied.lease_lost:
                raise LeaseLostError
            return

    def _note(self, call_id: str, name: str, result: Record) -> None:
        self.steps.append(
            {"kind": "tool", "call_id": call_id, "name": name, "status": _status(result)}
        )


def _settled_call(payload: Record) -> SettledCall:
    result = payload.get("result")
    if not isinstance(result, dict):
        result = {"error": payload.get("error")}
    return SettledCall(str(payload["call_id"]), str(payload["name"]), result)


def _status(result: Record) -> str:
    return "failed" if "error" in result else "completed"


def _error(code: str, message: str) -> Record:
    return {"error": {"code": code, "message": message}}
