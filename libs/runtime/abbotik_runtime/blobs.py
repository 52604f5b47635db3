"""Contents over 64 KiB, kept in GridFS by tenant and SHA-256."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from gridfs.asynchronous import AsyncGridFSBucket
from gridfs.errors import NoFile
from pymongo.asynchronous.database import AsyncDatabase

BUCKET = "blobs"


class Blobs:
    """Stores bytes under the name `<tenant>:<digest>`.

    GridFS shows a file only when all of it is stored, so a writer that dies leaves nothing that
    could be read; two writers of the same bytes leave two equal files, which harms nobody.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._bucket = AsyncGridFSBucket(database, bucket_name=BUCKET)

    async def put(self, tenant: str, data: bytes) -> str:
        """Store the bytes and return their SHA-256 in hex."""
        digest = sha256(data).hexdigest()
        if not await self._exists(tenant, digest):
            await self._bucket.upload_from_stream(_name(tenant, digest), data)
        return digest

    async def get(self, tenant: str, digest: str) -> bytes | None:
        """Return the bytes, or None where this tenant has none with that digest."""
        try:
            stream = await self._bucket.open_download_stream_by_name(_name(tenant, digest))
            return bytes(await stream.read())
        except NoFile:
            return None

    async def _exists(self, tenant: str, digest: str) -> bool:
        async for _ in self._bucket.find({"filename": _name(tenant, digest)}, limit=1):
            return True
        return False


def _name(tenant: str, digest: str) -> str:
    return f"{tenant}:{digest}"
