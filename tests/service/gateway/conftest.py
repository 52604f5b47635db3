"""The gateway's API over fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from abbotik_gateway.handlers.following import room_feed
from tests.fakes.gateway_api import GatewayApi, gateway_api
from tests.fakes.streams_world import World, streams_world


@pytest.fixture
async def api() -> AsyncIterator[GatewayApi]:
    """Yield the API over an empty plane."""
    made = gateway_api()
    made.streams.start()
    async with made.client:
        yield made
    await made.streams.close("test")


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Yield streams over a log and a bus in memory; no late look at the log hides a fault."""
    monkeypatch.setattr(room_feed, "AFTER_START_S", 3600)
    async with streams_world() as made:
        yield made
