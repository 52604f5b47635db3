"""What a call can come to instead of an answer."""

from __future__ import annotations


class RefusedError(Exception):
    """The service refused: ``status`` and ``code`` as in docs/errors.md, ``detail`` for people."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class UnreachableError(Exception):
    """No gateway gave an answer in time; the last cause is in the text."""
