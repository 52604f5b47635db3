"""Background loops: all look alike, none ends by itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from abbotik_kernel.retry import Backoff
from abbotik_runtime import logs
from abbotik_runtime.metrics import Metrics

_log = logs.get("loop")

_JITTER = 0.1
_STOP_S = 5.0


class Loop:
    """Calls ``one_pass`` every ``every_s`` seconds, start to start, never two at a time.

    Each pause is off by up to a tenth, so that processes started together spread. An error is
    logged, counted, and makes the next pause longer by ``backoff`` until a pass succeeds. One of
    ``weather`` says that a server is away: it is a line of the log and no traceback.
    """

    def __init__(
        self,
        name: str,
        every_s: float,
        one_pass: Callable[[], Awaitable[None]],
        *,
        metrics: Metrics | None = None,
        backoff: Backoff | None = None,
        weather: type[Exception] | tuple[()] = (),
        jitter: float = _JITTER,
    ) -> None:
        self.name = name
        self.failures = 0
        self.passes = 0
        self._every_s = every_s
        self._one_pass = one_pass
        self._metrics = metrics
        self._backoff = backoff or Backoff(first=0.2, ceiling=5.0)
        self._weather = weather
        self._jitter = jitter
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin with a pass at once."""
        self._stopping = False
        self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"loop {self.name}")

    async def stop(self, timeout_s: float = _STOP_S) -> None:
        """Let the pass under way finish, cancel it after ``timeout_s``; nothing runs afterwards."""
        self._stopping = True
        self._wake.set()
        task, self._task = self._task, None
        if task is None:
            return
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})

    def wake(self) -> None:
        """Let the next pass begin now instead of at its time."""
        self._wake.set()

    async def run_once(self) -> None:
        """Run one pass and let its error out; waits for one that is under way."""
        async with self._turn:
            await self._one_pass()

    async def _keep(self) -> None:
        while not self._stopping:
            self._wake.clear()
            began = time.monotonic()
            ok = await self._guarded()
            self.passes += 1
            self.failures = 0 if ok else self.failures + 1
            took = time.monotonic() - began
            self._count(took, ok=ok)
            await self._pause(took)

    async def _guarded(self) -> bool:
        try:
            await self.run_once()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Something that the pass waited for was cancelled; the loop itself was not.
            _log.warning("loop_pass_cancelled", loop=self.name)
            return False
        except self._weather as away:
            _log.warning(
                "loop_pass_failed", loop=self.name, failures=self.failures + 1, cause=str(away)
            )
            return False
        except Exception:  # noqa: BLE001 - a loop outlives every fault of its pass
            _log.exception("loop_pass_failed", loop=self.name, failures=self.failures + 1)
            return False
        return True

    def _count(self, took: float, *, ok: bool) -> None:
        if self._metrics is not None:
            self._metrics.loop_passes.add(self.name, "ok" if ok else "error")
            self._metrics.loop_seconds.observe(took, self.name)

    async def _pause(self, took: float) -> None:
        pause = max(0.0, self._every_s - took)
        if self.failures:
            pause += self._backoff.delay(self.failures - 1)
        pause *= random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 - spreads, guards nothing
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            return
