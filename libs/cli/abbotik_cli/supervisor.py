"""All children of one start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from abbotik_cli.child import Child
from abbotik_cli.fault import Fault
from abbotik_cli.logs import LogFolder
from abbotik_cli.process import Process
from abbotik_cli.program import Program

LOOK_EVERY_S = 0.03
# A program that dies this often before it ever served will not get better by itself.
DEATHS_TO_GIVE_UP = 3


class Supervisor:
    """Starts programs, waits until they serve, keeps them running and ends them.

    `say` gets lines for the terminal; `changed` is called whenever a pid changed.
    """

    def __init__(
        self, logs: LogFolder, say: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self._logs = logs
        self._say = say
        self._changed = changed
        self._children: dict[str, Child] = {}

    def start(self, programs: Iterable[Program]) -> None:
        """Start the programs side by side."""
        for program in programs:
            child = Child(program, self._logs, self._say, self._changed)
            self._children[program.name] = child
            child.start()

    async def ready(self, programs: Iterable[Program], within_s: float) -> None:
        """Wait until all of them serve; Fault with the log's last lines of one that does not."""
        until = time.monotonic() + within_s
        looks = [
            asyncio.create_task(self._ready(self._children[program.name], until, within_s))
            for program in programs
        ]
        try:
            await asyncio.gather(*looks)
        finally:
            for look in looks:
                look.cancel()

    async def stop(self, programs: Iterable[Program]) -> None:
        """End these side by side; one that was never started is ended already."""
        async with asyncio.TaskGroup() as endings:
            for program in programs:
                if program.name in self._children:
                    endings.create_task(self._children[program.name].stop())

    def kill(self) -> None:
        """Kill everything now."""
        for child in self._children.values():
            child.kill()

    def processes(self) -> dict[str, Process]:
        """Return what runs now, by name."""
        running = {
            name: Process.of(child.pid, child.program.argv)
            for name, child in self._children.items()
            if child.pid is not None
        }
        return {name: process for name, process in running.items() if process is not None}

    async def _ready(self, child: Child, until: float, within_s: float) -> None:
        name = child.program.name
        while not await asyncio.to_thread(child.program.ready):
            if child.deaths >= DEATHS_TO_GIVE_UP:
                raise Fault(self._quoting(name, f"{name} does not start, it {child.how}"))
            if time.monotonic() > until:
                raise Fault(self._quoting(name, f"{name} was not ready within {within_s:.0f} s"))
            await asyncio.sleep(LOOK_EVERY_S)

    def _quoting(self, name: str, sentence: str) -> str:
        return f"{sentence}; see {self._logs.file(name)}, which ends with:{self._logs.tail(name)}"
