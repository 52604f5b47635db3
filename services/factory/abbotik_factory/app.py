"""The composition root of the factory."""

from __future__ import annotations

from abbotik_factory.settings import Settings
from abbotik_runtime.service import Context

SERVICE = "factory"


class Factory:
    """The running service: ready where NATS, MongoDB, its streams and its consumer are."""

    async def start(self) -> None:
        """Nothing to start: no command of this version is for the factory."""

    async def drain(self) -> None:
        """Nothing to hand over, for the same reason."""


def build(_context: Context[Settings]) -> Factory:
    """Choose the adapters and put the service together."""
    return Factory()
