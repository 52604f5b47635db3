"""Operations: which are bounded in time, and how."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from starlette.requests import Request
from starlette.responses import Response

from abbotik_gateway.app import openapi
from abbotik_gateway.routes.operation import EVENT_STREAM, Operation, Shown, within


async def _never(_request: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


READ = Operation("n", "GET", ("/x",), _never, "s", {200: Shown("t", "Room")}, "rooms")


def test_reads_are_bounded_and_streams_are_not() -> None:
    """A read is a protected GET that is no stream."""
    assert READ.reads
    assert not replace(READ, method="POST").reads
    assert not replace(READ, needs=None).reads
    assert not replace(READ, answers={200: Shown("t", media_type=EVENT_STREAM)}).reads


async def test_a_read_ends_in_time() -> None:
    """Past its limit it is a TimeoutError, which the edge answers with 503."""
    with pytest.raises(TimeoutError):
        await within(_never, 0.01)(Request({"type": "http"}))


def test_the_description_knows_both_families() -> None:
    """Each room route stands there twice, under ids of its own."""
    paths = openapi()["paths"]
    ids = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
    rooms = {path.removeprefix("/llm/room") for path in paths if path.startswith("/llm/room")}
    assert rooms == {
        path.removeprefix("/api/rooms") for path in paths if path.startswith("/api/rooms")
    }
