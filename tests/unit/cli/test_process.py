"""Telling processes apart and ending what is left of a start before."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from abbotik_cli import process
from abbotik_cli.process import Process
from tests.eventually import eventually_sync

SLEEP = ("sleep", "60")


@pytest.fixture
def sleeper() -> Iterator[tuple[subprocess.Popen[bytes], Process]]:
    """Yield a process in a session of its own, and its record."""
    with subprocess.Popen(SLEEP, start_new_session=True) as child:
        # Until its arguments are laid out it could be any program, and counts as every one.
        eventually_sync(lambda: Path(f"/proc/{child.pid}/cmdline").read_bytes() != b"")
        record = Process.of(child.pid, SLEEP)
        assert record is not None
        yield child, record
        child.kill()


def test_recorded_process_is_ended(sleeper: tuple[subprocess.Popen[bytes], Process]) -> None:
    """What was recorded and still runs is killed."""
    child, record = sleeper
    assert record.alive()
    assert process.end([record], 5) == []
    assert child.wait() == -9
    assert not record.alive()


def test_another_process_is_spared(sleeper: tuple[subprocess.Popen[bytes], Process]) -> None:
    """A process that got the pid later, or runs something else, is left alone."""
    child, record = sleeper
    later = replace(record, started=record.started + 1)
    other = replace(record, command=("sleep", "61"))
    assert process.end([later, other], 0) == []
    assert child.poll() is None


def test_absent_process_has_no_record() -> None:
    """The record of a dead process is None, also while it waits to be collected."""
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert Process.of(child.pid, ["true"]) is None


def test_process_without_arguments_yet_is_alive(
    sleeper: tuple[subprocess.Popen[bytes], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just after its start the kernel shows no arguments of a process: it runs all the same."""
    _, record = sleeper
    monkeypatch.setattr(Path, "read_bytes", lambda _: b"")
    assert record.alive()
