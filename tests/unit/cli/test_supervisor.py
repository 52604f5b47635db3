"""Children are started, watched, started again and ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from abbotik_cli.fault import Fault
from abbotik_cli.logs import LogFolder
from abbotik_cli.program import Program
from abbotik_cli.supervisor import Supervisor

FOREVER = "import signal; print('up', flush=True); signal.pause()"
DEAF = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"
# Its own child would hold a port or a file if it stayed.
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {FOREVER!r}])"


class Room:
    """A supervisor with the lines that it said; `changed` is set whenever a pid changed."""

    def __init__(self, folder: Path) -> None:
        self.logs = LogFolder(folder)
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.changed = asyncio.Event()
        self.supervisor = Supervisor(self.logs, self.said.put_nowait, self.changed.set)
        self.programs: list[Program] = []

    def program(
        self,
        code: str,
        *,
        grace_s: float = 5,
        ready: Callable[[], bool] | None = None,
        stuck: Callable[[], bool] | None = None,
        batch: bool = False,
    ) -> Program:
        """Return a Python program that is ready when it has written to its log."""
        name = f"child-{len(self.programs)}"
        log = self.logs.file(name)
        made = Program(
            name=name,
            argv=(sys.executable, "-c", code),
            env=dict(os.environ),
            ready=ready or (lambda: log.exists() and "up" in log.read_text()),
            grace_s=grace_s,
            stuck=stuck,
            batch=batch,
        )
        self.programs.append(made)
        return made


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """Yield a supervisor; what it still runs is ended afterwards."""
    made = Room(tmp_path)
    yield made
    await made.supervisor.stop(made.programs)


async def test_ready_child_runs_and_is_ended(room: Room) -> None:
    """A started child is listed with its pid; a stopped one is gone."""
    child = room.program(FOREVER)
    room.supervisor.start([child])
    await room.supervisor.ready([child], 10)
    record = room.supervisor.processes()[child.name]
    assert record.alive()
    await room.supervisor.stop([child])
    assert not record.alive()
    assert room.supervisor.processes() == {}


@pytest.mark.parametrize(
    ("batch", "policy"), [(True, os.SCHED_BATCH), (False, os.sched_getscheduler(0))]
)
async def test_child_is_scheduled_as_its_program_says(
    room: Room, *, batch: bool, policy: int
) -> None:
    """Only what is named so waits for a processor when it is woken."""
    child = room.program(FOREVER, batch=batch)
    room.supervisor.start([child])
    await room.supervisor.ready([child], 10)
    assert os.sched_getscheduler(room.supervisor.processes()[child.name].pid) == policy


async def test_killed_child_is_started_again(room: Room) -> None:
    """A child that dies is said to be started again, and is."""
    child = room.program(FOREVER)
    room.supervisor.start([child])
    await room.supervisor.ready([child], 10)
    first = room.supervisor.processes()[child.name].pid
    room.changed.clear()
    os.kill(first, signal.SIGKILL)
    assert "was killed by SIGKILL; it is started again" in await room.said.get()
    await room.changed.wait()
    assert room.supervisor.processes()[child.name].pid != first


@pytest.mark.parametrize("code", [FOREVER, DEAF])
async def test_stuck_child_is_started_again(room: Room, code: str) -> None:
    """A child that is stuck is ended, also one that ignores SIGTERM, and started again."""
    looks = iter([True])
    child = room.program(code, grace_s=0.2, stuck=lambda: next(looks, False))
    room.supervisor.start([child])
    assert await room.said.get() == "child-0 is stuck and is ended"
    assert "it is started again" in await room.said.get()
    await room.supervisor.ready([child], 10)
    assert room.supervisor.processes()[child.name].alive()


async def test_child_that_never_serves_is_quoted(room: Room) -> None:
    """A child that dies again and again before it served ends the start, with its last words."""
    child = room.program("print('no such table'); raise SystemExit(3)", ready=lambda: False)
    room.supervisor.start([child])
    with pytest.raises(Fault, match=r"(?s)ended with code 3.*no such table"):
        await room.supervisor.ready([child], 20)


async def test_slow_child_is_named(room: Room) -> None:
    """A child that is not ready in time is named with the time it had."""
    child = room.program(FOREVER, ready=lambda: False)
    room.supervisor.start([child])
    with pytest.raises(Fault, match="child-0 was not ready within 0 s"):
        await room.supervisor.ready([child], 0.1)


async def test_deaf_child_is_killed_after_its_grace(room: Room) -> None:
    """A child that ignores SIGTERM is gone after its grace."""
    child = room.program(DEAF, grace_s=0.2)
    room.supervisor.start([child])
    await room.supervisor.ready([child], 10)
    record = room.supervisor.processes()[child.name]
    await room.supervisor.stop([child])
    assert not record.alive()


async def test_stop_ends_a_child_that_waits_to_be_started_again(room: Room) -> None:
    """Stopping does not wait for a pause between two tries, and nothing is started after it."""
    child = room.program("raise SystemExit(1)")
    room.supervisor.start([child])
    await room.said.get()
    await asyncio.wait_for(room.supervisor.stop([child]), 5)
    assert room.supervisor.processes() == {}
    assert room.said.empty()


async def test_what_a_child_started_goes_with_it(room: Room) -> None:
    """When a child dies, its own children are ended before it is started again."""
    child = room.program(PARENT)
    room.supervisor.start([child])
    await room.supervisor.ready([child], 10)
    parent = room.supervisor.processes()[child.name].pid
    started = _only_child(parent)
    os.kill(parent, signal.SIGKILL)
    # Readable once the process has ended.
    await asyncio.wait_for(_readable(started), 5)
    os.close(started)


def _only_child(pid: int) -> int:
    """Return a pidfd of the one process that this one has started."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return os.pidfd_open(int(child))


async def _readable(descriptor: int) -> None:
    seen = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, seen.set)
    await seen.wait()
    loop.remove_reader(descriptor)
