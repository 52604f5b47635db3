"""Contents over 64 KiB, in GridFS: `runtime.blobs` with the gateway's errors."""

from __future__ import annotations

from abbotik_gateway.adapters.away import mongo_away
from abbotik_runtime.blobs import Blobs
from abbotik_runtime.uncancelled import uncancelled


class MongoContents:
    """Contents by tenant and SHA-256. UnavailableError where MongoDB does not answer."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def put(self, tenant: str, data: bytes) -> str:
        """Store the bytes and return their SHA-256 in hex."""
        with mongo_away():
            return await self._blobs.put(tenant, data)

    @uncancelled
    async def get(self, tenant: str, digest: str) -> bytes | None:
        """Return the bytes, None where this tenant has none with that digest."""
        with mongo_away():
            return await self._blobs.get(tenant, digest)
