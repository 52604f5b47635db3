"""The dev authority."""

from __future__ import annotations

import pytest

from abbotik_gateway.adapters.authority_dev import DevAuthority


@pytest.mark.parametrize(
    ("token", "access", "root"), [("user-token", "full", False), ("root-token", "root", True)]
)
async def test_both_tokens_are_known(token: str, access: str, root: bool) -> None:
    """The user has full access, root is root, both in the dev tenant."""
    caller = await DevAuthority("user-token", "root-token").identify(token)
    assert caller is not None
    assert (caller.access, caller.is_root, caller.tenant) == (access, root, "dev")


@pytest.mark.parametrize("token", ["", "user-toke", "user-tokenx", "USER-TOKEN", "x"])
async def test_no_other_token_is(token: str) -> None:
    """Not a part, not more, not in another case."""
    assert await DevAuthority("user-token", "root-token").identify(token) is None
