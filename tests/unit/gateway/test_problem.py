"""Refusals."""

from __future__ import annotations

import pytest

from abbotik_contracts.errors import ERRORS
from abbotik_gateway.domain.problem import Problem, invalid, invalid_query


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_code_makes_a_whole_body(code: str) -> None:
    """Status, title and type follow from the table; the envelope is in the same body."""
    problem = Problem(code)
    body = problem.body("/llm/room")
    assert body["type"] == f"/docs/errors#{code}"
    assert (body["status"], body["title"]) == (ERRORS[code].status, ERRORS[code].title)
    assert body["detail"]
    assert (body["success"], body["error_code"], body["instance"]) == (False, code, "/llm/room")


@pytest.mark.parametrize("code", [code for code, row in ERRORS.items() if row.status in {429, 503}])
def test_a_refusal_for_now_says_when(code: str) -> None:
    """429 and 503 carry Retry-After, the given one or a second."""
    assert Problem(code).headers["Retry-After"] == "1"
    assert Problem(code, headers={"Retry-After": "9"}).headers["Retry-After"] == "9"


def test_401_names_its_scheme() -> None:
    """A client learns how to authenticate."""
    assert Problem("AUTH_TOKEN_REQUIRED").headers == {"WWW-Authenticate": "Bearer"}


def test_an_unknown_code_is_internal() -> None:
    """What the table does not know is a fault of ours, and is not made up into an answer."""
    problem = Problem("NO_SUCH_CODE", "x")
    assert (problem.code, problem.status) == ("INTERNAL", 500)


def test_extra_members_never_hide_the_bodys_own() -> None:
    """A worker's extra members stand beside the problem's, not in their place."""
    body = Problem("ROOM_BUSY", extra={"status": 200, "success": True, "allowed": ["x"]}).body("/")
    assert (body["status"], body["success"], body["allowed"]) == (409, False, ["x"])


def test_validation_faults_are_listed() -> None:
    """One fault is the detail itself; several are counted there and listed."""
    one = invalid([{"pointer": "/a", "message": "is wrong"}])
    assert one.detail == "is wrong"
    two = invalid([{"pointer": "/a", "message": "x"}, {"pointer": "/b", "message": "y"}])
    assert two.detail == "2 members are wrong; see `errors`."
    assert two.extra["errors"] == [
        {"pointer": "/a", "message": "x"},
        {"pointer": "/b", "message": "y"},
    ]
    assert invalid_query("limit", "no").extra["errors"] == [
        {"pointer": "/query/limit", "message": "no"}
    ]
