"""The command line."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import pytest

from abbotik_cli import main, up
from abbotik_cli.fault import Fault
from abbotik_cli.options import Options


def _failing(error: Exception) -> Callable[[Options], Awaitable[None]]:
    async def fail(_: Options) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Fault("Mend this."), "abbotik: Mend this.\n"),
        (OSError(errno.ENOSPC, "No space left"), "The disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "run.json"), "Cannot use run.json"),
    ],
)
def test_fault_is_one_line_and_code_1(
    error: Exception,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a person has to mend is one line on stderr and exit code 1."""
    monkeypatch.setattr(up, "up", _failing(error))
    assert main.main(["up"]) == 1
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
