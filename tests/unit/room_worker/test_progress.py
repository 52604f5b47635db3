"""Up to which counter nothing is owed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from abbotik_room_worker.progress import Progress


def test_nothing_written_owes_nothing() -> None:
    """A process without a commit is through with zero."""
    assert Progress().through == 0


def test_the_lowest_open_counter_holds_all_back() -> None:
    """What lies above an open counter does not count, however much of it is settled."""
    progress = Progress()
    for counter in (1, 2, 3):
        progress.opened(counter)
    progress.settled(3)
    progress.settled(1)
    assert progress.through == 1
    progress.settled(2)
    assert progress.through == 3


def test_age_is_that_of_the_oldest_that_is_owed() -> None:
    """An entry of which nobody knows makes no list late: it may not be there at all."""
    now = 10.0
    progress = Progress(lambda: now)
    progress.opened(1)
    now = 11.0
    progress.opened(2)
    now = 15.0
    assert progress.age_s == 5.0
    progress.doubted(("acme", "room"), 3, 1)
    assert progress.age_s == 4.0
    progress.settled(2)
    assert progress.age_s == 0.0


def test_settling_twice_is_settling_once() -> None:
    """A counter that was settled already does no harm."""
    progress = Progress()
    progress.opened(1)
    progress.settled(1)
    progress.settled(1)
    assert progress.through == 1


def test_doubt_lasts_until_the_room_has_moved_on() -> None:
    """An entry that may be in the log is owed until its rev is taken, by whomever."""
    progress, key = Progress(), ("acme", "room")
    progress.opened(1)
    progress.doubted(key, 7, 1)
    progress.reached(key, 6)
    progress.reached(("acme", "other"), 9)
    assert progress.through == 0
    progress.reached(key, 7)
    assert progress.through == 1


@given(st.permutations(range(1, 9)), st.integers(0, 8))
def test_through_is_the_longest_settled_beginning(order: list[int], settled: int) -> None:
    """In whatever order entries are settled, `through` is just below the first that is not."""
    progress = Progress()
    for counter in range(1, 9):
        progress.opened(counter)
    done = set(order[:settled])
    for counter in order[:settled]:
        progress.settled(counter)
    assert progress.through == next(n for n in range(9) if n + 1 not in done)
