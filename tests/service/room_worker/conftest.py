"""The house in which the room worker's service tests live."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.service.room_worker.house import House


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Yield an empty house; whatever happened in it, its logs are sound afterwards."""
    house = House()
    yield house
    await house.close()
