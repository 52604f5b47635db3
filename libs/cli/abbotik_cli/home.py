"""The folder that holds the state of an embedded stack."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abbotik_cli import process, run_file
from abbotik_cli.fault import Fault
from abbotik_cli.logs import LogFolder

NEEDED_BYTES = 1024**3
LEFTOVERS_S = 5.0


class Home:
    """Where things lie below the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nats = path / "nats"
        self.mongo = path / "mongo"
        self.run_file = path / "run.json"
        self.tokens = path / "tokens.json"
        self.lock = path / "lock"

    def logs(self) -> LogFolder:
        """Return the folder of the children's logs."""
        return LogFolder(self.path / "logs")

    def end_leftovers(self) -> list[str]:
        """End what a start before left running; return the names. Only for the lock's holder."""
        left = {
            name: one
            for name, one in run_file.read(self.run_file).processes.items()
            if name != "supervisor" and one.alive()
        }
        stubborn = process.end(list(left.values()), LEFTOVERS_S)
        if stubborn:
            pids = ", ".join(str(one.pid) for one in stubborn)
            raise Fault(f"Processes of an earlier start do not end: kill {pids} and start again.")
        return sorted(left)


@contextmanager
def claim(path: Path) -> Iterator[Home]:
    """Make the folder and hold it for this process alone.

    Fault when another process holds it, when it cannot be written, or when the disk is full.
    """
    home = Home(path)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = home.lock.open("a")
    except OSError as error:
        raise Fault(
            f"Cannot write to {path} ({error.strerror}): set ABBOTIK_HOME to a folder of yours."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Fault(_already_running(home)) from error
        check_space(path, shutil.disk_usage(path).free)
        yield home


def check_space(path: Path, free: int) -> None:
    """Fault when `free` bytes are too few to start with."""
    if free < NEEDED_BYTES:
        raise Fault(
            f"The disk of {path} has {free / 1024**3:.1f} GiB left and 1 GiB is needed: "
            "free some space, or set ABBOTIK_HOME to a folder on another disk."
        )


def _already_running(home: Home) -> str:
    run = run_file.read(home.run_file)
    where = f" at {run.urls['gateway']}" if "gateway" in run.urls else ""
    return (
        f"Abbotik already runs{where} with its state in {home.path}: use that one, stop it, "
        "or set ABBOTIK_HOME and PORT for a second one."
    )
