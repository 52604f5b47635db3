"""How much of a room fits into one answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abbotik_gateway.domain.history import Sized, fitting, share, sized, window


@pytest.mark.parametrize(
    ("last", "after", "before", "limit", "wanted"),
    [
        (0, None, None, 10, []),
        (5, None, None, 10, [1, 2, 3, 4, 5]),
        (5, None, None, 2, [4, 5]),
        (5, None, 4, 2, [2, 3]),
        (5, 1, None, 2, [2, 3]),
        (5, 1, 4, 10, [2, 3]),
        (5, 0, None, 2, [1, 2]),
        (5, 9, None, 2, []),
        (5, None, 1, 2, []),
        (5, None, 0, 2, []),
        (5, None, 99, 1, [5]),
        (5, 3, 2, 9, []),
    ],
)
def test_a_window_is_what_the_parameters_say(
    last: int, after: int | None, before: int | None, limit: int, wanted: list[int]
) -> None:
    """With `after` it goes forward, else it ends at `before` or at the newest."""
    assert list(window(last, after, before, limit).wanted) == wanted


ROWS = st.lists(st.integers(1, 100), max_size=20).map(
    lambda sizes: [Sized({"n": n}, size) for n, size in enumerate(sizes)]
)


@given(ROWS, st.integers(0, 500), st.booleans())
def test_what_fits_is_one_end_of_the_list(rows: list[Sized], budget: int, forward: bool) -> None:
    """As many as fit from the kept end, at least one, in their order."""
    kept = fitting(rows, budget, forward=forward)
    assert kept == (rows[: len(kept)] if forward else rows[len(rows) - len(kept) :])
    size = sum(row.size for row in kept)
    assert size <= budget or len(kept) <= 1
    if rows and len(kept) < len(rows):
        following = rows[len(kept)] if forward else rows[-len(kept) - 1]
        assert size + following.size > budget


@given(ROWS, ROWS, st.integers(0, 3000))
def test_shares_keep_within_the_budget(
    messages: list[Sized], events: list[Sized], budget: int
) -> None:
    """Both shares together are the budget at most, and nothing is left out without need."""
    for_messages, for_events = share(messages, events, budget)
    taken = min(for_messages, sum(row.size for row in messages))
    assert taken + for_events <= budget
    total = sum(row.size for row in [*messages, *events])
    if total <= budget:
        assert sum(row.size for row in messages) <= for_messages
        assert sum(row.size for row in events) <= for_events


def test_a_record_is_measured_as_it_is_sent() -> None:
    """Its JSON and the comma behind it."""
    assert sized({"a": "é"}).size == len('{"a":"é"},'.encode())
