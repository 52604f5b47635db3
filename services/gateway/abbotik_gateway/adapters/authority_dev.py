"""The authority of the embedded default: one tenant, one user token and one root token."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

from abbotik_gateway.domain.caller import Caller

TENANT = "dev"


class DevAuthority:
    """Knows two tokens, given or made at start."""

    def __init__(self, token: str, root_token: str) -> None:
        # Hashes, so that a comparison takes the same time whatever the length of what came.
        self._user = (_digest(token), _caller("dev", "full", is_root=False))
        self._root = (_digest(root_token), _caller("root", "root", is_root=True))

    async def identify(self, token: str) -> Caller | None:
        """Return the user or the root of the dev tenant, None for any other token."""
        digest = _digest(token)
        # Both are compared always, for the same reason.
        is_user = compare_digest(self._user[0], digest)
        is_root = compare_digest(self._root[0], digest)
        if is_root:
            return self._root[1]
        return self._user[1] if is_user else None


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _caller(name: str, access: str, *, is_root: bool) -> Caller:
    return Caller(
        user_id=name,
        username=name,
        tenant=TENANT,
        tenant_name=TENANT,
        access=access,
        auth_type="dev",
        is_root=is_root,
        token_expires_at=None,
    )
