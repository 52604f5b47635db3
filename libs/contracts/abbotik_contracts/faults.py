"""Validation faults as the API lists them: a JSON pointer and a sentence each."""

from __future__ import annotations

from pydantic import ValidationError

_MAX_FAULTS = 50


def pointer(location: tuple[int | str, ...]) -> str:
    """Write a location as a JSON pointer (RFC 6901)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)


def faults(error: ValidationError, prefix: str = "") -> list[dict[str, str]]:
    """Return `{pointer, message}` for each fault, without the value that the caller sent.

    Union branches leave their names in pydantic's locations; they are no members of the body and
    are dropped, and so are the doubles that this leaves. At most 50 faults are listed.
    """
    found: dict[tuple[str, str], None] = {}
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        location = tuple(
            part
            for part in fault["loc"]
            if not (isinstance(part, str) and (part == "str" or "[" in part or "-" in part))
        )
        message = fault["msg"].removeprefix("Value error, ")
        found[(prefix + pointer(location), message)] = None
    return [{"pointer": where, "message": what} for where, what in list(found)[:_MAX_FAULTS]]
