"""Logs of children stay small and are quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from abbotik_cli import logs
from abbotik_cli.logs import LogFolder


def test_tail_quotes_the_last_lines(tmp_path: Path) -> None:
    """An error text shows the last lines that say something, each of bounded length."""
    folder = LogFolder(tmp_path / "logs")
    lines = [f"line {number}" for number in range(50)]
    folder.file("a").write_text("\n".join([*lines, "", "x" * 5000, ""]))
    tail = folder.tail("a").splitlines()
    assert tail[-2].strip() == "line 49"
    assert len(tail[-1]) < 500
    assert folder.tail("absent") == ""


def test_start_puts_the_old_log_aside(tmp_path: Path) -> None:
    """A start begins a new log and keeps the one before."""
    folder = LogFolder(tmp_path)
    folder.file("a").write_text("old")
    folder.begin("a")
    assert not folder.file("a").exists()
    assert (tmp_path / "a.log.1").read_text() == "old"


def test_grown_log_is_moved_while_its_child_writes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log over the limit is emptied under the feet of its child, and no line is torn."""
    monkeypatch.setattr(logs, "LIMIT_BYTES", 10)
    folder = LogFolder(tmp_path)
    with folder.open("a") as log:
        log.write(b"a first long line\n")
        log.flush()
        folder.trim()
        log.write(b"next\n")
    assert (tmp_path / "a.log.1").read_text() == "a first long line\n"
    assert folder.file("a").read_text() == "next\n"
