"""The scripted executor: deterministic and keyless, it does what the message says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import assert_never

from abbotik_room_worker.executors.script import (
    Call,
    Directive,
    Fail,
    Fill,
    Say,
    ScriptError,
    Stream,
    Wait,
    parse,
)
from abbotik_room_worker.ports import Emit, TurnAnswer, TurnFailedError, TurnInput

Sleep = Callable[[float], Awaitable[None]]


class ScriptedExecutor:
    """Runs the directives of a message in their order; the answer is their lines."""

    def __init__(self, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep

    async def run(self, turn: TurnInput, emit: Emit) -> TurnAnswer:
        """Run the script. Raises TurnFailedError where it says so or makes no sense."""
        try:
            script = parse(turn.content)
        except ScriptError as error:
            raise TurnFailedError("SCRIPT_INVALID", str(error)) from error
        lines = [text for directive in script if (text := await self._do(directive, emit))]
        answer = "\n".join(lines)
        read, written = len(turn.content.split()), len(answer.split())
        usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
        return TurnAnswer(answer, {**usage, "cost": 0})

    async def _do(self, directive: Directive, emit: Emit) -> str | None:
        """Carry out one directive and return its line of the answer."""
        match directive:
            case Say(text):
                return text
            case Stream(delay_ms, text):
                return await self._stream(delay_ms, text, emit)
            case Wait(ms):
                await emit.text("")
                await self._sleep(ms / 1000)
                return None
            case Call(name, arguments):
                return json.dumps(await emit.call(name, arguments), ensure_ascii=False)
            case Fail(code, message):
                raise TurnFailedError(code, message)
            case Fill(kib):
                return "x" * (kib * 1024)
            case _:
                assert_never(directive)

    async def _stream(self, delay_ms: int, text: str, emit: Emit) -> str:
        for place, word in enumerate(text.split(" ")):
            await self._sleep(delay_ms / 1000)
            await emit.text(word if place == 0 else f" {word}")
        return text
