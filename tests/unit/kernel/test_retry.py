"""Delays between tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abbotik_kernel.retry import Backoff


@pytest.mark.parametrize(("attempt", "delay"), [(0, 0.1), (1, 0.2), (2, 0.4), (5, 3.2), (6, 5.0)])
def test_delay_doubles_up_to_the_ceiling(attempt: int, delay: float) -> None:
    """The first try waits `first`, each later one twice as long, none longer than the ceiling."""
    assert Backoff(first=0.1, factor=2.0, ceiling=5.0).delay(attempt) == pytest.approx(delay)


@given(st.integers(0, 10**9))
def test_any_attempt_has_a_delay_within_bounds(attempt: int) -> None:
    """However often it was tried, the delay neither overflows nor shrinks below the first."""
    backoff = Backoff()
    assert backoff.first <= backoff.delay(attempt) <= backoff.ceiling
    assert backoff.delay(attempt) <= backoff.delay(attempt + 1)
