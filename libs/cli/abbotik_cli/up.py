"""`abbotik up`: runs the embedded stack until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import time

from abbotik_cli import banner, home, terminal
from abbotik_cli.options import Options
from abbotik_cli.signals import StopSignal
from abbotik_cli.stack import Stack

KILLED = 137


async def up(options: Options) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; Fault when it cannot be started."""
    began = time.monotonic()
    with home.claim(options.home) as claimed:
        for name in claimed.end_leftovers():
            terminal.say(f"ended {name}, which an earlier start had left running")
        stack = Stack(options, claimed)
        stop = StopSignal(lambda: _kill(stack))
        stop.listen()
        stopped = asyncio.create_task(stop.wait(), name="wait for a signal")
        starting = asyncio.create_task(stack.start(), name="start the stack")
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                seconds = time.monotonic() - began
                terminal.show(banner.text(stack.url, stack.tokens, claimed.path, seconds))
                await stopped
            terminal.say("stopping; once more kills at once")
        finally:
            starting.cancel()
            await asyncio.wait({starting})
            await stack.stop()
        terminal.say("stopped")


def _kill(stack: Stack) -> None:
    stack.kill()
    # Whatever still waits for a child would wait for nothing.
    os._exit(KILLED)
