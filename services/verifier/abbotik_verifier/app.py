"""The composition root of the verifier."""

from __future__ import annotations

from abbotik_runtime.service import Context
from abbotik_verifier.settings import Settings

SERVICE = "verifier"


class Verifier:
    """The running service: ready where NATS, MongoDB, its streams and its consumer are."""

    async def start(self) -> None:
        """Nothing to start: no command of this version is for the verifier."""

    async def drain(self) -> None:
        """Nothing to hand over, for the same reason."""


def build(_context: Context[Settings]) -> Verifier:
    """Choose the adapters and put the service together."""
    return Verifier()
