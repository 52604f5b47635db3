"""A client of rooms that reads what a room's log holds, over any of the gateways."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Self

import httpx
import rfc8785

from abbotik_client.errors import RefusedError, UnreachableError
from abbotik_client.report import LogReport
from abbotik_kernel.chain import Chain, Mark

Record = dict[str, Any]

_PAGE = 1000
# A gateway answers within five seconds.
_ANSWER_S = 6.0
_AGAIN_S = 0.2
# These say that the same request may succeed a moment later, or at another gateway.
_BUSY = frozenset({429, 502, 503, 504})


class Client:
    """Speaks to one of the gateways at ``urls``, as the holder of ``token``.

    A request that it cannot answer now goes to the next one, until ``patience_s`` are over.

        async with Client(["http://127.0.0.1:9002"], token) as client:
            report = await client.verify_log(room)
    """

    def __init__(self, urls: Sequence[str], token: str, *, patience_s: float = 30.0) -> None:
        if not urls:
            raise ValueError("a client needs the URL of a gateway")
        self._urls = deque(url.rstrip("/") for url in urls)
        self._patience_s = patience_s
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"},
            timeout=None,  # noqa: S113 - each call is bounded as a whole
        )

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def events(self, room: str, after: int = 0) -> AsyncIterator[Record]:
        """Yield the events behind seq ``after`` that the room's log holds by now, in order.

        Raises RefusedError, for an unknown room for one, and UnreachableError.
        """
        query: dict[str, str | int] = {"format": "json", "limit": _PAGE, "after": after}
        while True:
            page = await self._get(f"/llm/room/{room}/events", query)
            for event in page["data"]:
                yield event
            if not page["has_more"]:
                return
            query = {"format": "json", "limit": _PAGE, "cursor": page["next_cursor"]}

    async def verify_log(self, room: str, expected: Mark | None = None) -> LogReport:
        """Recompute the room's chain of hashes from its events.

        ``expected`` is a place of the chain that was noted earlier (a report's ``end``, or any
        event's `seq` and `hash`). Raises RefusedError and UnreachableError.
        """
        chain = Chain(rfc8785.dumps, expected)
        faults = [fault async for event in self.events(room) for fault in chain.add(event)]
        return LogReport((*faults, *chain.faults_at_end()), chain.end)

    async def _get(self, path: str, query: dict[str, str | int]) -> Record:
        until = monotonic() + self._patience_s
        while True:
            try:
                return await self._once(path, query)
            except UnreachableError:
                self._urls.rotate(-1)
                if monotonic() + _AGAIN_S > until:
                    raise
                await asyncio.sleep(_AGAIN_S)

    async def _once(self, path: str, query: dict[str, str | int]) -> Record:
        url = self._urls[0]
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await self._http.get(url + path, params=query)
        except (httpx.TransportError, TimeoutError) as error:
            raise UnreachableError(f"{url}: {type(error).__name__}: {error}") from error
        if answer.status_code in _BUSY:
            raise UnreachableError(f"{url}: {answer.status_code} {answer.text}")
        body = _object(answer)
        if not answer.is_success:
            code, detail = body.get("error_code", ""), body.get("detail", answer.reason_phrase)
            raise RefusedError(answer.status_code, str(code), str(detail))
        return body


def _object(answer: httpx.Response) -> Record:
    """Return an answer's body; whoever answers with something else is no gateway."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(answer.status_code, "", f"{answer.url} does not answer with JSON")
    return body
