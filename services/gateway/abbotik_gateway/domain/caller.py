"""Who is calling, and what the access word covers."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from abbotik_gateway.domain.problem import Problem
from abbotik_kernel.clock import rfc3339

# Each word covers itself and those after it.
ACCESS_WORDS = ("root", "full", "edit", "read")
_RANK = {word: rank for rank, word in enumerate(ACCESS_WORDS)}
_REFUSAL = {"root": "ROOT_REQUIRED", "full": "ADMIN_REQUIRED"}


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated caller. ``token_expires_at`` in ms since 1970, None for never."""

    user_id: str
    username: str
    tenant: str
    tenant_name: str
    access: str
    auth_type: str
    is_root: bool
    token_expires_at: int | None
    key_id: str | None = None

    def needs(self, word: str) -> None:
        """Raise the Problem that fits where the caller's access does not cover ``word``."""
        if self.is_root or _RANK[self.access] <= _RANK[word]:
            return
        raise Problem(
            _REFUSAL.get(word, "AUTH_FORBIDDEN"),
            f"This needs `{word}` access; the token has `{self.access}`.",
        )

    def record(self) -> dict[str, JsonValue]:
        """Return the caller in the shape of `GET /api/user/introspect`."""
        token: dict[str, JsonValue] = {"auth_type": self.auth_type, "is_sudo": self.is_root}
        if self.key_id is not None:
            token["key_id"] = self.key_id
        if self.token_expires_at is not None:
            token["expires_at"] = rfc3339(self.token_expires_at)
        return {
            "user": {"id": self.user_id, "username": self.username, "access": self.access},
            "tenant": {"id": self.tenant, "name": self.tenant_name},
            "token": token,
        }
