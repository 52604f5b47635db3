"""Quiet lives: what a simulated worker logs would be more than anybody reads."""

from __future__ import annotations

import pytest

from abbotik_runtime import logs


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Log nothing below an error."""
    logs.configure("simulation", "error", "json")
