"""Access words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from abbotik_gateway.domain.caller import ACCESS_WORDS, Caller
from abbotik_gateway.domain.problem import Problem

CALLER = Caller("u", "ada", "acme", "Acme", "read", "key", is_root=False, token_expires_at=None)


@pytest.mark.parametrize("needed", ACCESS_WORDS)
@pytest.mark.parametrize("held", ACCESS_WORDS)
@pytest.mark.parametrize("sudo", [False, True])
def test_a_word_covers_itself_and_those_below(held: str, needed: str, sudo: bool) -> None:
    """The order is root, full, edit, read, and sudo covers all."""
    caller = replace(CALLER, access=held, is_root=sudo)
    if sudo or ACCESS_WORDS.index(held) <= ACCESS_WORDS.index(needed):
        caller.needs(needed)
        return
    with pytest.raises(Problem) as caught:
        caller.needs(needed)
    codes = {"root": "ROOT_REQUIRED", "full": "ADMIN_REQUIRED", "edit": "AUTH_FORBIDDEN"}
    assert (caught.value.code, caught.value.status) == (codes[needed], 403)


def test_a_caller_is_shown_as_introspection_shows_it() -> None:
    """Optional members are there only where there is something to say."""
    assert CALLER.record() == {
        "user": {"id": "u", "username": "ada", "access": "read"},
        "tenant": {"id": "acme", "name": "Acme"},
        "token": {"auth_type": "key", "is_sudo": False},
    }
    token = replace(CALLER, key_id="k1", token_expires_at=1_700_000_000_000).record()["token"]
    assert token == {
        "auth_type": "key",
        "is_sudo": False,
        "key_id": "k1",
        "expires_at": "2023-11-14T22:13:20.000Z",
    }
