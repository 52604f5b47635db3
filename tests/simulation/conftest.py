"""Quiet lives: what a simulated worker logs would be more than anybody reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abbotik_runtime import logs
from tests.logs import restored_logs


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing below an error."""
    with restored_logs():
        logs.configure("simulation", "error", "json")
        yield
