"""What to do when an Idempotency-Key comes again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from abbotik_gateway.domain.keyed import RUNNING_MS, Keyed, Step, next_step
from abbotik_gateway.domain.outcome import Outcome
from abbotik_gateway.domain.problem import Problem

FIRST = Keyed("acme", "rent", "k", digest="d", command="c1", room="r1")
SECOND = replace(FIRST, command="c2", room="r2")


def test_the_first_request_runs() -> None:
    """What is stored is the request itself."""
    assert next_step(FIRST, FIRST) is Step.RUN


def test_another_body_is_refused_before_all_else() -> None:
    """422, whatever became of the first request."""
    for stored in (FIRST, replace(FIRST, outcome=Outcome(ok=True)), replace(FIRST, opened=True)):
        with pytest.raises(Problem, match="IDEMPOTENCY_KEY_REUSED"):
            next_step(replace(SECOND, digest="other"), stored)


def test_an_answered_request_is_replayed() -> None:
    """The stored outcome is the answer, however old."""
    stored = replace(FIRST, outcome=Outcome(ok=False, code="ROOM_BUSY"), age_ms=10**9)
    assert next_step(SECOND, stored) is Step.REPLAY


@pytest.mark.parametrize(("age", "opened"), [(RUNNING_MS, False), (0, True), (10**9, True)])
def test_a_request_that_was_left_open_is_taken_over(age: int, opened: bool) -> None:
    """After a 503, or once it is older than a POST may take."""
    stored = replace(FIRST, age_ms=age, opened=opened)
    assert next_step(SECOND, stored) is Step.TAKE_OVER


@pytest.mark.parametrize("age", [0, RUNNING_MS - 1, -60_000])
def test_a_running_request_is_waited_for(age: int) -> None:
    """409 with Retry-After, also where the clocks differ."""
    with pytest.raises(Problem, match="IDEMPOTENCY_IN_PROGRESS") as caught:
        next_step(SECOND, replace(FIRST, age_ms=age))
    assert caught.value.headers["Retry-After"] == "1"
