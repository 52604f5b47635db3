"""What an API server says about a token, read strictly: anything odd is no answer."""

from __future__ import annotations

import re
from datetime import datetime

from pydantic import JsonValue

from abbotik_contracts.subjects import TOKEN
from abbotik_gateway.domain.caller import ACCESS_WORDS, Caller

_ID = re.compile(r"[\x21-\x7e]{1,256}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{0,256}")
# Numbers above are milliseconds: as seconds they would lie in the year 5138.
_MAX_SECONDS = 100_000_000_000
_MAX_TIME = 1e15


class UnreadableAnswerError(ValueError):
    """An answer that is not of the agreed shape."""


def read_caller(answer: JsonValue) -> Caller:
    """Return the caller that `{success, data: {user, tenant, token}}` describes."""
    if not isinstance(answer, dict) or answer.get("success") is not True:
        raise UnreadableAnswerError("`success` is not true")
    data = _object(answer, "data")
    user, tenant, token = (_object(data, name) for name in ("user", "tenant", "token"))
    access = _text(user, "access", _NAME)
    if access not in ACCESS_WORDS:
        raise UnreadableAnswerError("`user.access` is no access word")
    sudo = token.get("is_sudo", False)
    if not isinstance(sudo, bool):
        raise UnreadableAnswerError("`token.is_sudo` is no boolean")
    return Caller(
        user_id=_text(user, "id", _ID),
        username=_text(user, "username", _NAME),
        tenant=_text(tenant, "id", TOKEN),
        tenant_name=_text(tenant, "name", _NAME),
        access=access,
        auth_type=_text(token, "auth_type", _NAME),
        is_root=sudo or access == "root",
        token_expires_at=_time(token.get("expires_at")),
        key_id=None if token.get("key_id") is None else _text(token, "key_id", _ID),
    )


def _object(parent: dict[str, JsonValue], name: str) -> dict[str, JsonValue]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise UnreadableAnswerError(f"`{name}` is no object")
    return value


def _text(parent: dict[str, JsonValue], name: str, form: re.Pattern[str]) -> str:
    value = parent.get(name)
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise UnreadableAnswerError(f"`{name}` is not of the agreed form")
    return value


def _time(value: JsonValue) -> int | None:
    """Return a time in ms: RFC 3339, or a number of seconds or milliseconds since 1970."""
    match value:
        case None:
            return None
        case bool():
            raise UnreadableAnswerError("`expires_at` is no time")
        case int() | float() if abs(value) <= _MAX_TIME:
            return int(value * 1000 if value < _MAX_SECONDS else value)
        case str():
            return _instant(value)
        case _:
            raise UnreadableAnswerError("`expires_at` is no time")


def _instant(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise UnreadableAnswerError("`expires_at` is no time") from error
    if instant.tzinfo is None:
        raise UnreadableAnswerError("`expires_at` has no time zone")
    return int(instant.timestamp() * 1000)
