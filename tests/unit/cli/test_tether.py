"""A tethered process does not outlive its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from abbotik_cli import tether

PARENT = """
import subprocess, sys
from abbotik_cli import tether
child = subprocess.Popen(tether.command(["sleep", "60"]), start_new_session=True)
print(child.pid, flush=True)
child.wait()
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


def _runs(pid: int) -> bool:
    try:
        return "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
