"""A tethered process does not outlive its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from abbotik_cli import tether

PARENT = """
import subprocess, sys
from abbotik_cli import tether
child = subprocess.Popen(tether.command(["sleep", "60"]), start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""

POLICY = "import os; print(os.sched_getscheduler(0))"
FORBIDDEN = """
import os, sys
from abbotik_cli import tether
def refuse(*_):
    raise PermissionError(1, "Operation not permitted")
os.sched_setscheduler = refuse
tether.main(sys.argv[1:])
"""


def test_child_dies_with_a_killed_parent() -> None:
    """After kill -9 of the parent the kernel kills the child, in whatever session it is."""
    # The pipe's other end is held by both: it closes when the last of them is gone.
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        assert parent.stdout.read() == b""
    assert not _runs(child)


def test_child_of_a_dead_parent_does_not_start() -> None:
    """A parent that ended before the tether was tied leaves nothing behind either."""
    command = tether.command(["echo", "started"])
    command[command.index(str(os.getpid()))] = "1" if os.getpid() != 1 else "2"
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout == b""


def test_absent_program_is_named() -> None:
    """A program that does not exist gives one line with its name."""
    done = subprocess.run(
        tether.command(["/absent/program"]), capture_output=True, text=True, check=False
    )
    assert done.stderr == "/absent/program: No such file or directory\n"


@pytest.mark.parametrize(
    ("batch", "policy"), [(True, os.SCHED_BATCH), (False, os.sched_getscheduler(0))]
)
def test_batch_child_is_scheduled_as_batch_work(*, batch: bool, policy: int) -> None:
    """The policy holds for the program itself; without, it keeps what it was started with."""
    command = tether.command([sys.executable, "-c", POLICY], batch=batch)
    assert int(subprocess.check_output(command)) == policy


def test_program_runs_where_its_policy_is_forbidden() -> None:
    """A container that lets nobody choose a policy still gets its program."""
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN, str(os.getpid()), "batch", "echo", "started"],
        capture_output=True,
        check=False,
    )
    assert done.stdout == b"started\n", done.stderr


def _runs(pid: int) -> bool:
    try:
        return "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
