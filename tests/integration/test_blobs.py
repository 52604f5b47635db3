"""Contents over 64 KiB on a real server: whole or not there, once per tenant."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from abbotik_runtime import mongo
from abbotik_runtime.blobs import BUCKET, Blobs

CHUNK = 255 * 1024


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
async def test_bytes_come_back_as_they_were(database: mongo.Database, size: int) -> None:
    """Whatever the number of chunks, under the SHA-256 of all of it."""
    data = bytes(number % 251 for number in range(size))
    blobs = Blobs(database)
    digest = await blobs.put("acme", data)
    assert digest == sha256(data).hexdigest()
    assert await blobs.get("acme", digest) == data
    assert await Blobs(database).get("acme", digest) == data


async def test_same_bytes_are_stored_once(database: mongo.Database) -> None:
    """A second put finds them and stores nothing."""
    blobs = Blobs(database)
    for _ in range(3):
        await blobs.put("acme", b"x" * 1000)
    assert await database[f"{BUCKET}.files"].count_documents({}) == 1
    assert await database[f"{BUCKET}.chunks"].count_documents({}) == 1


async def test_tenants_do_not_share(database: mongo.Database) -> None:
    """The same bytes of two tenants are two files; knowing a digest opens nothing."""
    blobs = Blobs(database)
    digest = await blobs.put("acme", b"secret")
    assert await blobs.get("other", digest) is None
    assert await blobs.put("other", b"secret") == digest
    assert await database[f"{BUCKET}.files"].count_documents({}) == 2


async def test_writers_at_once_do_no_harm(database: mongo.Database) -> None:
    """Ten that store the same bytes together: every reader gets them."""
    blobs = Blobs(database)
    data = b"y" * (2 * CHUNK)
    digests = await asyncio.gather(*(blobs.put("acme", data) for _ in range(10)))
    assert len(set(digests)) == 1
    assert await blobs.get("acme", digests[0]) == data


async def test_half_stored_file_is_not_there(database: mongo.Database) -> None:
    """Chunks of a writer that died before the end are never read, and a new put is whole."""
    blobs = Blobs(database)
    data = b"z" * (2 * CHUNK)
    digest = await blobs.put("acme", data)
    await database[f"{BUCKET}.files"].delete_many({})
    assert await blobs.get("acme", digest) is None
    await blobs.put("acme", data)
    assert await blobs.get("acme", digest) == data


@pytest.mark.parametrize("digest", ["", "0" * 64, "not a digest", "acme:x"])
async def test_unknown_digest_is_nothing(database: mongo.Database, digest: str) -> None:
    """What was never stored is None, however it is spelt."""
    assert await Blobs(database).get("acme", digest) is None
