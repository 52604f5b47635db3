"""What is noted about a start."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from abbotik_cli import run_file, tokens
from abbotik_cli.process import Process
from abbotik_cli.run_file import Run


def test_run_is_read_as_written(tmp_path: Path) -> None:
    """A record survives the file, and only its owner can read it."""
    own = Process.of(os.getpid(), sys.orig_argv)
    assert own is not None
    run = Run({"gateway": 9002}, {"gateway": "http://127.0.0.1:9002"}, {"supervisor": own})
    path = tmp_path / "run.json"
    run_file.write(path, run)
    assert run_file.read(path) == run
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ports": 1}', '{"processes": {"a": {}}}'])
def test_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    """A file that cannot be understood is the same as no file."""
    path = tmp_path / "run.json"
    path.write_text(text)
    assert run_file.read(path) == Run()
    assert run_file.read(tmp_path / "absent") == Run()


def test_made_tokens_are_kept(tmp_path: Path) -> None:
    """The next start has the same tokens, which nobody else can read."""
    path = tmp_path / "tokens.json"
    made = tokens.keep(path, None, None)
    assert tokens.keep(path, None, None) == made
    assert made.user != made.root
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_given_token_is_used_and_not_kept(tmp_path: Path) -> None:
    """A token from the environment goes before the kept one and is not written down."""
    path = tmp_path / "tokens.json"
    made = tokens.keep(path, None, None)
    assert tokens.keep(path, "given", None) == tokens.Tokens("given", made.root)
    assert "given" not in path.read_text()
