"""Answers: the envelope, and the problem that is both RFC 9457 and the envelope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from starlette.responses import Response

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain.problem import Problem

JSON = "application/json"
PROBLEM = "application/problem+json"


def enveloped(
    data: Record | Sequence[Record],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    beside: Record | None = None,
) -> Response:
    """Return `{"success": true, "data": …}`; ``beside`` are paging members next to `data`."""
    body = orjson.dumps({"success": True, "data": data, **(beside or {})})
    return Response(body, status, headers, JSON)


def page(rows: Sequence[Record], *, next_cursor: str | None, link: str | None) -> Response:
    """Return one page of a list; ``link`` is the `Link` header to the next one."""
    return enveloped(
        rows,
        headers={} if link is None else {"Link": link},
        beside={"next_cursor": next_cursor, "has_more": next_cursor is not None},
    )


def problem_answer(problem: Problem, path: str) -> Response:
    """Return the answer of a refusal; ``path`` is what was asked for."""
    body = orjson.dumps(problem.body(path))
    return Response(body, problem.status, problem.headers, PROBLEM)
