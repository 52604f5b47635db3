"""One program, kept running."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import Callable
from contextlib import suppress

from abbotik_cli import tether
from abbotik_cli.logs import LogFolder
from abbotik_cli.program import Program
from abbotik_kernel.retry import Backoff

BACKOFF = Backoff(first=0.2, ceiling=5.0)
# Whoever ran this long was well: its next death is a first one again.
STEADY_S = 10.0
KILLED_S = 1.0
LOOK_EVERY_S = 2.0


class Child:
    """Starts the program, waits for its end and starts it again, until it is stopped.

    One that is stuck is ended for that. `say` gets a line for each death; `changed` is called when
    there is another pid.
    """

    def __init__(
        self,
        program: Program,
        logs: LogFolder,
        say: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.program = program
        self.deaths = 0
        self.how = ""
        self._logs = logs
        self._say = say
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._loop: asyncio.Task[None] | None = None
        self._leaving = False

    @property
    def pid(self) -> int | None:
        """The process that runs now, if any."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin to keep it running."""
        self._logs.begin(self.program.name)
        self._loop = asyncio.create_task(self._keep(), name=f"keep {self.program.name}")

    async def stop(self) -> None:
        """End it: SIGTERM, its grace, SIGKILL for all of its group."""
        self._leaving = True
        if self._loop is None:
            return
        if self._process is None:
            self._loop.cancel()
        else:
            # It may end by itself just now.
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
        await asyncio.wait({self._loop}, timeout=self.program.grace_s)
        self.kill()
        await asyncio.wait({self._loop}, timeout=KILLED_S)

    def kill(self) -> None:
        """Kill it and all that it started, now and for good."""
        self._leaving = True
        if self._process is not None:
            _kill_group(self._process.pid)

    async def _keep(self) -> None:
        attempt = 0
        while True:
            began = time.monotonic()
            self.how = await self._run_once()
            if self._leaving:
                return
            self.deaths += 1
            attempt = 0 if time.monotonic() - began > STEADY_S else attempt
            pause = BACKOFF.delay(attempt)
            attempt += 1
            self._say(f"{self.program.name} {self.how}; it is started again in {pause:.1f} s")
            await asyncio.sleep(pause)

    async def _run_once(self) -> str:
        """Run it to its end and return how it ended."""
        try:
            with self._logs.open(self.program.name) as log:
                self._process = await asyncio.create_subprocess_exec(
                    *tether.command(self.program.argv, batch=self.program.batch),
                    env=self.program.env,
                    stdin=DEVNULL,
                    stdout=log,
                    stderr=STDOUT,
                    # Ctrl-C in the terminal is for the supervisor, which ends children in order.
                    start_new_session=True,
                )
        except OSError as error:
            return f"cannot be started ({error.strerror})"
        pid = self._process.pid
        self._changed()
        code = await self._watched(self._process)
        self._process = None
        # What it started must not outlive it.
        _kill_group(pid)
        return (
            f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )

    async def _watched(self, process: asyncio.subprocess.Process) -> int:
        """Return the process's exit code, however it came to its end."""
        if self.program.stuck is None:
            return await process.wait()
        watch = asyncio.create_task(self._end_if_stuck(process, self.program.stuck), name="watch")
        try:
            return await process.wait()
        finally:
            watch.cancel()

    async def _end_if_stuck(
        self, process: asyncio.subprocess.Process, stuck: Callable[[], bool]
    ) -> None:
        while not await asyncio.to_thread(stuck):  # noqa: ASYNC110 - it sends no event
            await asyncio.sleep(LOOK_EVERY_S)
        self._say(f"{self.program.name} is stuck and is ended")
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await asyncio.sleep(self.program.grace_s)
        _kill_group(process.pid)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
