"""A MongoDB that loses what it is sent, or what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient

from abbotik_runtime import mongo
from abbotik_runtime.settings import ServiceSettings
from tests.integration.cutting_proxy import CuttingProxy


@pytest.fixture
async def proxy(mongo_url: str) -> AsyncIterator[CuttingProxy]:
    """Yield a proxy before the run's MongoDB."""
    async with CuttingProxy(mongo_url) as proxy:
        yield proxy


@pytest.fixture
async def behind(
    proxy: CuttingProxy, settings: ServiceSettings, database: mongo.Database
) -> AsyncIterator[mongo.Database]:
    """Yield the test's database through the proxy, without the driver's own retries."""
    client: mongo.Client = AsyncMongoClient(
        proxy.url, timeoutMS=1000, serverSelectionTimeoutMS=1000, retryWrites=False, tz_aware=True
    )
    yield client[database.name]
    await client.close()
    assert settings.mongo_database == database.name
