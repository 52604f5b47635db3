"""What waits on the bus of a stack."""

from __future__ import annotations

import nats


async def waiting(nats_url: str, stream: str) -> int:
    """Return how many messages a stream keeps."""
    client = await nats.connect(nats_url.split(","))
    try:
        info = await client.jetstream().stream_info(stream)
    finally:
        await client.close()
    return info.state.messages
