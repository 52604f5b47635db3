"""Contents and answers that are too large for an entry."""

from __future__ import annotations

import pytest

from abbotik_contracts.room_log import INLINE_BYTES
from tests.service.room_worker.house import TENANT, House


@pytest.mark.parametrize("content", ["größe " * 20_000, "é" * (INLINE_BYTES // 2 + 1)])
async def test_large_contents_travel_as_blobs(house: House, content: str) -> None:
    """A message and an answer over 64 KiB are stored apart; the event shows the beginning."""
    worker = await house.worker()
    room = await house.rent(worker)
    outcome = await worker.ask(house.message(room, content))
    await worker.rested()
    entries = house.log(room)
    messages = [m for entry in entries for m in entry.get("messages", ())]
    assert [message["content"] for message in messages] == ["", ""]
    blobs = [house.store.blobs[TENANT, str(message["blob"])].decode() for message in messages]
    assert blobs == [content, f"echo: {content}"]
    assert outcome["data"]["content"] == ""  # type: ignore[call-overload,index]  # a record
    shown = house.payloads(room, "actor:output")[0]
    assert shown["truncated"] is True
    assert f"echo: {content}".startswith(shown["text"])
    assert len(shown["text"].encode()) <= INLINE_BYTES


async def test_content_of_the_inline_size_stays_in_the_entry(house: House) -> None:
    """Exactly 64 KiB need no blob."""
    worker = await house.worker()
    room = await house.rent(worker)
    await worker.ask(house.message(room, "!say " + "x" * (INLINE_BYTES - 5)))
    await worker.rested()
    assert len(house.outputs(room)[0]) == INLINE_BYTES - 5
    assert house.store.blobs == {}
