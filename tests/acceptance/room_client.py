"""A client as the README tells people to write one: it retries what is open and resumes streams."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

Record = dict[str, Any]

_AGAIN_S = 0.1
# Longer than any server is away.
_PATIENCE_S = 90.0


@dataclass(slots=True)
class RoomClient:
    """Talks to any of the gateways; a request that fails goes to the next one."""

    urls: list[str]
    headers: dict[str, str]
    http: httpx.AsyncClient
    _turn: itertools.count[int] = field(default_factory=itertools.count)

    async def rent(self, **body: Any) -> str:
        """Rent a room and return its id."""
        record = await self.send("POST", "/llm/room", body)
        return str(record["id"])

    async def post(self, room: str, content: str) -> Record:
        """Post a message, once, however often the request has to be sent."""
        return await self.send("POST", f"/llm/room/{room}/messages", {"content": content})

    async def send(self, method: str, path: str, body: Record | None = None) -> Record:
        """Send a request until it has an answer; the key makes it one command."""
        key = str(uuid.uuid4())
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                answer = await self._once(method, path, body, key)
                if answer is not None and answer.is_success:
                    data: Record = answer.json()["data"]
                    return data
                if answer is not None and not _is_open(answer):
                    raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
                await asyncio.sleep(_AGAIN_S)

    async def _once(
        self, method: str, path: str, body: Record | None, key: str
    ) -> httpx.Response | None:
        headers = {**self.headers, "Idempotency-Key": key} if key else self.headers
        try:
            return await self.http.request(
                method, self._next_url() + path, json=body, headers=headers
            )
        except httpx.TransportError:
            return None

    async def follow(self, room: str, until: str = "", count: int = 1) -> list[Record]:
        """Follow a room until it has shown ``count`` events of a type; resume where it was cut."""
        events: list[Record] = []
        async with asyncio.timeout(_PATIENCE_S):
            while sum(event["event_type"] == until for event in events) < count:
                try:
                    await self._follow_once(room, events, until, count)
                except httpx.TransportError:
                    await asyncio.sleep(_AGAIN_S)
        return events

    async def read_on(
        self,
        room: str,
        after: int,
        on_event: Callable[[Record], object],
        on_delta: Callable[[Record], object] = lambda _: False,
    ) -> None:
        """Follow a room from a position on until the stream ends, or a callback returns true."""
        headers = {**self.headers, "Last-Event-ID": str(after)}
        url = f"{self._next_url()}/llm/room/{room}/events"
        async with self.http.stream("GET", url, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                await asyncio.sleep(_AGAIN_S)
                return
            async for name, durable, data in _frames(answer):
                if durable and on_event(data):
                    return
                if name == "actor:delta" and on_delta(data):
                    return

    async def _follow_once(self, room: str, events: list[Record], until: str, count: int) -> None:
        def keep(event: Record) -> bool:
            events.append(event)
            shown = sum(1 for one in events if one["event_type"] == until)
            return shown >= count

        await self.read_on(room, events[-1]["seq"] if events else 0, keep)

    async def log(self, room: str) -> list[Record]:
        """Read all durable events of a room."""
        events: list[Record] = []
        while True:
            after = events[-1]["seq"] if events else 0
            page = await self._read(f"/llm/room/{room}/events?format=json&after={after}")
            events += page["data"]
            if not page["has_more"]:
                return events

    async def get(self, path: str) -> Record:
        """Return a record that a gateway shows."""
        data: Record = (await self._read(path))["data"]
        return data

    async def _read(self, path: str) -> Record:
        """GET until a gateway answers."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                answer = await self._once("GET", path, None, "")
                if answer is not None and answer.is_success:
                    body: Record = answer.json()
                    return body
                if answer is not None and not _is_open(answer):
                    raise AssertionError(f"GET {path}: {answer.status_code} {answer.text}")
                await asyncio.sleep(_AGAIN_S)

    def _next_url(self) -> str:
        return self.urls[next(self._turn) % len(self.urls)]


def _is_open(answer: httpx.Response) -> bool:
    busy = answer.status_code == httpx.codes.CONFLICT
    return answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or (
        busy and answer.json()["error_code"] == "IDEMPOTENCY_IN_PROGRESS"
    )


async def _frames(answer: httpx.Response) -> AsyncIterator[tuple[str, bool, Record]]:
    """Yield a stream's frames that have data: name, whether they are durable (have an id), data."""
    frame: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            frame[name] = value.removeprefix(" ")
            continue
        if "data" in frame:
            yield frame.get("event", ""), "id" in frame, json.loads(frame["data"])
        frame = {}
