"""Time as a port, and its wire form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abbotik_kernel.clock import CorrectedClock, SystemClock, rfc3339

_LAST_MS = 253_402_300_799_999  # the end of the year 9999


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1_000, "1970-01-01T00:00:01.000Z"),
        (1_769_851_800_123, "2026-01-31T09:30:00.123Z"),
        (_LAST_MS, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_time_is_written_with_milliseconds_in_utc(at_ms: int, text: str) -> None:
    """Always three digits after the second, always Z."""
    assert rfc3339(at_ms) == text


@given(st.integers(0, _LAST_MS))
def test_written_time_reads_back(at_ms: int) -> None:
    """No millisecond is lost on the way to the wire and back."""
    read = datetime.fromisoformat(rfc3339(at_ms))
    assert (read - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1) == at_ms


def test_system_clock_is_the_machines() -> None:
    """The clock lies between two looks at the machine's own."""
    before = datetime.now(UTC)
    now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    assert before - timedelta(milliseconds=1) <= now <= datetime.now(UTC)


def test_shifted_clock_is_wrong_by_just_that() -> None:
    """A fault test's clock is off by what it was told."""
    right, wrong = SystemClock().now_ms(), SystemClock(60_000).now_ms()
    assert 60_000 <= wrong - right < 61_000


class Watch:
    """A local clock that a test sets, and the seconds that pass whatever it shows."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.passed_s = 7.0

    def now_ms(self) -> int:
        """Return what it shows."""
        return self.now

    def corrected(self) -> CorrectedClock:
        """Return a clock that goes by this one."""
        return CorrectedClock(self, lambda: self.passed_s)

    def go_on(self, ms: int) -> None:
        """Let time pass."""
        self.now += ms
        self.passed_s += ms / 1000


def test_corrected_clock_shows_the_others_time() -> None:
    """A local clock that is fast makes no difference once heard."""
    local = Watch(60_000)
    clock = local.corrected()
    assert (clock.now_ms(), clock.ahead_ms) == (60_000, 0)
    asked = clock.passed_ms()
    local.go_on(10)
    clock.correct(1_005, asked)
    assert clock.now_ms() == 1_010
    local.go_on(500)
    assert (clock.now_ms(), clock.ahead_ms) == (1_510, 59_000)
    clock.correct(2_000, clock.passed_ms())
    assert clock.now_ms() == 2_000


@pytest.mark.parametrize("to", [0, 3_600_000])
def test_local_clock_that_is_set_moves_no_time(to: int) -> None:
    """Neither before the next answer nor by it; how far it is ahead is told as it shows."""
    local = Watch(60_000)
    clock = local.corrected()
    asked = clock.passed_ms()
    local.now = to
    clock.correct(1_000, asked)
    assert clock.now_ms() == 1_000
    local.now = 60_000
    local.go_on(300)
    assert clock.now_ms() == 1_300
    assert clock.ahead_ms == 59_000


def test_overlapping_questions_do_not_disturb_each_other() -> None:
    """Each correction is taken from what had passed, not from an earlier correction."""
    clock = Watch(60_000).corrected()
    first, second = clock.passed_ms(), clock.passed_ms()
    clock.correct(1_000, first)
    clock.correct(1_000, second)
    assert clock.now_ms() == 1_000


def test_an_answer_that_took_long_does_not_spoil_what_is_known() -> None:
    """A process that stood still between asking and hearing knows the time as well as before."""
    local = Watch(60_000)
    clock = local.corrected()
    clock.correct(1_000, clock.passed_ms())
    asked = clock.passed_ms()
    local.go_on(9_000)
    clock.correct(1_001, asked)
    assert clock.now_ms() == 10_000


def test_an_answer_puts_right_what_it_contradicts() -> None:
    """A clock that ran off is brought back to the nearest time that the answer allows."""
    local = Watch(0)
    clock = local.corrected()
    clock.correct(0, clock.passed_ms())
    local.go_on(1_000)
    asked = clock.passed_ms() - 100
    clock.correct(1_300, asked)
    assert clock.now_ms() == 1_300
    clock.correct(1_100, asked)
    assert clock.now_ms() == 1_200
