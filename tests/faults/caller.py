"""Requests with a key, sent again for as long as their outcome is open, and written down."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from tests.faults.follower import AGAIN_S, GIVE_UP_S
from tests.faults.history import Call, Record

# The refusals that ask for the same request again.
OPEN = ("COMMAND_UNCONFIRMED", "SERVICE_UNAVAILABLE", "IDEMPOTENCY_IN_PROGRESS")
# What a 2xx tells of, where that is not an id.
_TOLD = {"interrupt": "turn_id", "patch": "policy_version"}
_PATHS = {"rent": "", "post": "/messages", "patch": ""}

Gateways = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a room, as in `Call`; each has a key of its own."""

    what: str
    room: str = ""
    body: Record = field(default_factory=dict)
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    if_match: int = 0
    over: bool = False

    @property
    def path(self) -> str:
        """The path below the room routes."""
        return (f"/{self.room}" if self.room else "") + _PATHS.get(self.what, f"/{self.what}")

    @property
    def headers(self) -> dict[str, str]:
        """What goes with it."""
        wanted = {"If-Match": f'"{self.if_match}"'} if self.if_match else {}
        return {"Idempotency-Key": self.key, **wanted}


def patch(room: str, body: Record, if_match: int = 0) -> Request:
    """Return a patch that leaves its key in the metadata, so that the log shows whose it was."""
    key = str(uuid.uuid4())
    return Request("patch", room, {"metadata": {"patch": key}, **body}, key, if_match)


class Caller:
    """Sends requests to gateways; ``calls`` has every try. ``patience_s`` bounds how often."""

    def __init__(self, token: str, patience_s: float) -> None:
        self.calls: list[Call] = []
        self._patience_s = patience_s
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"},
            timeout=None,  # noqa: S113 - each call is bounded as a whole
            limits=httpx.Limits(max_connections=None),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def insist(self, request: Request, gateways: Gateways) -> Call:
        """Send a request, the same again for as long as its outcome is open; return the last."""
        until = time.monotonic() + self._patience_s
        while True:
            call = await self._once(request, *next(gateways))
            self.calls.append(call)
            if call.accepted or time.monotonic() > until or not _is_open(call):
                return call
            await asyncio.sleep(AGAIN_S)

    async def _once(self, request: Request, gateway: str, url: str) -> Call:
        began, clock = time.time(), time.monotonic()
        status, error, told = None, "", ""
        try:
            async with asyncio.timeout(GIVE_UP_S):
                answer = await self._http.request(
                    "PATCH" if request.what == "patch" else "POST",
                    f"{url}/llm/room{request.path}",
                    json=request.body,
                    headers=request.headers,
                )
            status = answer.status_code
            if answer.is_success:
                told = str(answer.json()["data"].get(_TOLD.get(request.what, "id"), ""))
            else:
                error = answer.json().get("error_code", "")
        except (TimeoutError, httpx.TransportError) as fault:
            error = type(fault).__name__
        return Call(
            what=request.what,
            room=request.room,
            gateway=gateway,
            began=began,
            took_s=time.monotonic() - clock,
            status=status,
            error=error,
            key=request.key,
            told=told,
            body=request.body,
            if_match=request.if_match,
            over=request.over,
        )


def _is_open(call: Call) -> bool:
    return call.status is None or call.error in OPEN
