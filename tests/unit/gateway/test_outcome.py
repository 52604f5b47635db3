"""Outcomes of commands."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from abbotik_gateway.domain.outcome import Outcome, UnreadableOutcomeError, read_outcome
from abbotik_gateway.domain.problem import Problem


def test_an_accepted_command_has_its_record() -> None:
    """Data, seq and rev are read, and members that later workers add are ignored."""
    wire: dict[str, Any] = {
        "command": "c",
        "ok": True,
        "status": 202,
        "data": {"id": "m"},
        "seq": 12,
        "rev": 7,
        "new": 1,
    }
    outcome = read_outcome(orjson.dumps(wire))
    assert outcome.settled() == Outcome(
        command="c", ok=True, status=202, data={"id": "m"}, seq=12, rev=7
    )
    assert read_outcome(outcome.line()) == outcome


def test_a_refused_command_is_a_problem() -> None:
    """Code, detail, status and extra members go into the answer."""
    wire: dict[str, Any] = {
        "ok": False,
        "code": "ILLEGAL_TRANSITION",
        "detail": "no",
        "status": 409,
        "extra": {"allowed": ["release"]},
    }
    outcome = read_outcome(orjson.dumps(wire))
    assert read_outcome(outcome.line()) == outcome
    with pytest.raises(Problem) as caught:
        outcome.settled()
    assert (caught.value.code, caught.value.status, caught.value.detail) == (
        "ILLEGAL_TRANSITION",
        409,
        "no",
    )
    assert caught.value.extra == {"allowed": ["release"]}


@pytest.mark.parametrize(
    "wire", [None, [], "ok", {"ok": True, "data": []}, {"extra": "x"}, {"command": 7}]
)
def test_what_is_no_outcome_is_refused(wire: Any) -> None:
    """An answer of another shape is no answer."""
    with pytest.raises(UnreadableOutcomeError):
        read_outcome(orjson.dumps(wire))


@pytest.mark.parametrize(
    "line",
    [b"nope", b"", b'{"data":{"x":"\xff"}}', b'{"data":{"x":' + b"[" * 5000, b'{"command":7}'],
)
def test_what_is_no_json_is_refused(line: bytes) -> None:
    """Neither bytes that are no text nor a nesting without end come out as another error."""
    with pytest.raises(UnreadableOutcomeError):
        read_outcome(line)


def test_a_refusal_without_a_code_is_a_fault_of_ours() -> None:
    """It never becomes a success."""
    with pytest.raises(Problem, match="INTERNAL"):
        read_outcome(b"{}").settled()
