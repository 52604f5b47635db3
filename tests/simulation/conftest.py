"""Quiet lives: what a simulated worker logs would be more than anybody reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abbotik_runtime import log_writer, logs
from tests.logs import restored_logs


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing below an error."""
    with restored_logs():
        logs.configure("simulation", "error", "json")
        yield


@pytest.fixture(autouse=True)
def two_inserts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second insert leave beside the first: few clients never have enough for it."""
    monkeypatch.setattr(log_writer, "_ENOUGH_FOR_A_SECOND", 1)
