"""How often commands broke the code, in memory."""

from __future__ import annotations

from abbotik_room_worker.ports import UnavailableError
from tests.fakes.room_worker.store import MemoryStore


class FakeExceptions:
    """Counts in the store that all workers share; ``away`` makes every call fail."""

    def __init__(self, store: MemoryStore) -> None:
        self.away = False
        self._counts = store.exceptions

    async def count(self, tenant: str, command_id: str) -> int:
        """Count one exception more; return how many there were."""
        self._answer()
        self._counts[tenant, command_id] += 1
        return self._counts[tenant, command_id]

    async def forget(self, tenant: str, command_id: str) -> None:
        """Begin anew."""
        self._answer()
        self._counts.pop((tenant, command_id), None)

    def _answer(self) -> None:
        if self.away:
            raise UnavailableError("the store is away")
