"""Refusals as the API says them: RFC 9457 and the envelope in one body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from abbotik_contracts.errors import ERRORS, ErrorCode

_AGAIN_LATER = frozenset({429, 503})


class Problem(Exception):  # noqa: N818  the API's word for it (RFC 9457), and it ends a request
    """A refusal. ``code`` is a row of `contracts/errors.py`; one that is none is INTERNAL.

    ``detail`` is a sentence for the caller, never a driver's text; ``extra`` are further members
    of the body (`errors`, `allowed`, …); ``headers`` go out with the answer, and ``Retry-After``
    (1 s unless given) is added wherever the status asks to come again. ``status`` replaces the
    table's where a command's outcome names another one.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        status: int | None = None,
        extra: Mapping[str, JsonValue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        row = ERRORS.get(code) or ERRORS["INTERNAL"]
        self.row: ErrorCode = row
        self.code = row.code
        self.status = row.status if status is None else status
        self.detail = row.advice if detail is None else detail
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        if self.status in _AGAIN_LATER:
            self.headers.setdefault("Retry-After", "1")
        if self.status == 401:  # noqa: PLR2004  the one status that must name its scheme
            self.headers.setdefault("WWW-Authenticate", "Bearer")
        super().__init__(f"{self.code}: {self.detail}")

    def body(self, instance: str) -> dict[str, JsonValue]:
        """Return the body; ``instance`` is the path that was asked for."""
        return {
            **self.extra,
            "type": f"/docs/errors#{self.code}",
            "title": self.row.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "success": False,
            "error": self.row.title,
            "error_code": self.code,
        }


def invalid(faults: Sequence[Mapping[str, str]]) -> Problem:
    """Return the Problem that lists validation faults, each `{pointer, message}`."""
    count = len(faults)
    detail = faults[0]["message"] if count == 1 else f"{count} members are wrong; see `errors`."
    return Problem("VALIDATION_FAILED", detail, extra={"errors": [dict(fault) for fault in faults]})


def invalid_query(name: str, message: str) -> Problem:
    """Return the Problem of one query parameter."""
    return invalid([{"pointer": f"/query/{name}", "message": message}])
