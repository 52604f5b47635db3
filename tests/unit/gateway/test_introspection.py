"""What an API server says about a token."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from abbotik_gateway.domain.introspection import UnreadableAnswerError, read_caller

GOOD: dict[str, Any] = {
    "success": True,
    "data": {
        "user": {"id": "u-1", "username": "ada", "access": "edit"},
        "tenant": {"id": "acme", "name": "Acme & Sons"},
        "token": {"auth_type": "jwt", "is_sudo": False},
    },
}


def _with(path: str, value: Any) -> dict[str, Any]:
    answer = deepcopy(GOOD)
    *parents, name = path.split(".")
    place = answer
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return answer


def test_a_caller_is_read() -> None:
    """All members, and more may be there."""
    caller = read_caller(_with("data.more", {"x": 1}))
    assert (caller.user_id, caller.username, caller.access) == ("u-1", "ada", "edit")
    assert (caller.tenant, caller.tenant_name, caller.auth_type) == ("acme", "Acme & Sons", "jwt")
    assert (caller.is_root, caller.token_expires_at, caller.key_id) == (False, None, None)


@pytest.mark.parametrize(
    ("path", "value"), [("data.token.is_sudo", True), ("data.user.access", "root")]
)
def test_sudo_and_root_are_root(path: str, value: Any) -> None:
    """Either makes a root caller."""
    assert read_caller(_with(path, value)).is_root is True


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000.5, 1_700_000_000_500),
        (1_700_000_000_000, 1_700_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T23:13:20.250+01:00", 1_700_000_000_250),
    ],
)
def test_an_end_is_read_in_each_common_form(value: Any, at: int) -> None:
    """Seconds, milliseconds, RFC 3339."""
    assert read_caller(_with("data.token.expires_at", value)).token_expires_at == at


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("success", False),
        ("success", ...),
        ("data", None),
        ("data.user", ...),
        ("data.user.id", 5),
        ("data.user.id", ""),
        ("data.user.access", "deny"),
        ("data.user.access", None),
        ("data.tenant", []),
        ("data.tenant.id", "a.b"),
        ("data.tenant.id", "a\n"),
        ("data.tenant.id", "*"),
        ("data.tenant.id", ">"),
        ("data.tenant.id", "x" * 65),
        ("data.tenant.id", ""),
        ("data.tenant.name", "a\x00"),
        ("data.token", ...),
        ("data.token.auth_type", 1),
        ("data.token.is_sudo", "true"),
        ("data.token.key_id", 7),
        ("data.token.expires_at", "tomorrow"),
        ("data.token.expires_at", "2023-11-14T22:13:20"),
        ("data.token.expires_at", True),
        ("data.token.expires_at", []),
        ("data.token.expires_at", 1e300),
    ],
)
def test_an_odd_answer_is_no_answer(path: str, value: Any) -> None:
    """Whatever is not as agreed cannot be trusted in anything, least of all as a tenant."""
    with pytest.raises(UnreadableAnswerError):
        read_caller(_with(path, value))


@pytest.mark.parametrize("answer", [None, [], "ok", 1])
def test_what_is_no_object_is_no_answer(answer: Any) -> None:
    """The same for the whole."""
    with pytest.raises(UnreadableAnswerError):
        read_caller(answer)
