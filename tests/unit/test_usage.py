"""The soak's verdict: what counts as a leak, and what does not."""

from __future__ import annotations

import pytest

from bench.usage import Usage, slope


def _usage(sizes: list[float]) -> Usage:
    usage = Usage("gateway", 1, "http://127.0.0.1:1")
    usage._samples = [(float(second), size) for second, size in enumerate(sizes)]
    return usage


def test_slope_is_that_of_the_line() -> None:
    """Two a second, whatever the place; none where there is but one moment."""
    assert slope([(10.0, 5.0), (11.0, 7.0), (12.0, 9.0)]) == pytest.approx(2.0)
    assert slope([(10.0, 5.0)]) == 0.0


@pytest.mark.parametrize(
    ("sizes", "flat"),
    [
        ([60 + second * 0.02 for second in range(600)], False),
        ([60 + min(second, 150) * 0.2 for second in range(600)], True),
        ([60 + second % 20 * 0.5 for second in range(600)], True),
        ([90 - second * 0.02 for second in range(600)], True),
    ],
    ids=["leak", "warm-up", "sawtooth", "shrinks"],
)
def test_only_what_goes_on_growing_is_a_leak(sizes: list[float], flat: bool) -> None:
    """The warm-up does not count, nor does what comes and goes."""
    usage = _usage(sizes)
    assert usage.flat is flat
    assert ("flat" if flat else "GROWS") in str(usage)


def test_what_stays_open_is_told() -> None:
    """Some connections of a pool may stay, more than that may not."""
    usage = _usage([60.0, 60.0, 60.0])
    usage._after = (30, 16)
    usage.begin()
    usage._after = (38, 16)
    assert usage.back
    usage._after = (30, 30)
    assert not usage.back
    assert "NOT BACK" in str(usage)
