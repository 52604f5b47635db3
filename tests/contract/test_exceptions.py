"""What every count of exceptions must do: the one in memory and the one in MongoDB alike."""

from __future__ import annotations

import asyncio

from tests.contract.conftest import Stores


async def test_all_workers_count_together(stores: Stores) -> None:
    """Also at the same moment, each for its own; tenants and commands are counted apart."""
    one, other = stores.exceptions(), stores.exceptions()
    counted = await asyncio.gather(*(each.count("acme", "c1") for each in (one, other) * 4))
    assert sorted(counted) == list(range(1, 9))
    assert await one.count("other", "c1") == 1
    assert await one.count("acme", "c2") == 1


async def test_what_is_forgotten_is_counted_anew(stores: Stores) -> None:
    """Nothing is left of it, and what was never counted can be forgotten too."""
    one, other = stores.exceptions(), stores.exceptions()
    for _ in range(2):
        await one.count("acme", "c1")
    await other.forget("acme", "c1")
    await other.forget("acme", "c2")
    assert await one.count("acme", "c1") == 1
