"""Hundreds of short lives of a deployment in which everything goes wrong, in virtual time.

Two or three workers run the product's own decisions, commits, turns and recovery, while they are
killed at whatever they wait for, paused past their session, and cut off; entries are written
unheard of, late or not at all; messages are lost, doubled and delivered again.
"""

from __future__ import annotations

import os

import pytest

from tests.simulation.life import chance, live

# `SEEDS=5000:7000` tries others.
FIRST, LAST = map(int, os.environ.get("SEEDS", "0:120").split(":"))
_PORTION = 20


@pytest.mark.parametrize("first", range(FIRST, LAST, _PORTION))
def test_promises_hold_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """Logs are sound, an outcome is told once, what was told is there, and no room is stuck."""
    random = chance(monkeypatch)
    for seed in range(first, min(first + _PORTION, LAST)):
        live(random, seed)
