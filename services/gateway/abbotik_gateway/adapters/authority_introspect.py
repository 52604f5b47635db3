"""The authority that asks an API server: `GET /api/user/introspect` with the caller's token."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

import httpx
import orjson
import structlog

from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.introspection import UnreadableAnswerError, read_caller
from abbotik_gateway.domain.problem import Problem
from abbotik_kernel.clock import Clock

log = structlog.get_logger(__name__)

PATH = "/api/user/introspect"
TIMEOUT_S = 2.0
# How long an answer counts: a revoked token ends at the latest so much later.
KNOWN_MS = 5000
UNKNOWN_MS = 1000
MAX_CACHED = 10_000
MAX_ANSWER_BYTES = 64 * 1024

_EXPIRED = "AUTH_TOKEN_EXPIRED"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the API server said: a caller, or the code of its refusal; until when that counts."""

    caller: Caller | None
    code: str
    until_ms: int


class _UnclearError(Exception):
    """The API server gave no answer that counts."""


class IntrospectAuthority:
    """Knows callers by what the API server says. Keeps hashes of tokens, never a token.

    Equal tokens that come together share one question. ``client`` has the server's base URL.
    """

    def __init__(self, client: httpx.AsyncClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Verdict]] = {}

    async def identify(self, token: str) -> Caller | None:
        """Return the token's caller, None where the server does not know it.

        Raises Problem AUTH_TOKEN_EXPIRED, and AUTH_UNAVAILABLE where the server does not say.
        """
        digest = sha256(token.encode()).digest()
        verdict = self._known.get(digest)
        if verdict is None or verdict.until_ms <= self._clock.now_ms():
            verdict = await self._ask_once(digest, token)
        if verdict.code == _EXPIRED:
            raise Problem(_EXPIRED)
        return verdict.caller

    async def _ask_once(self, digest: bytes, token: str) -> Verdict:
        asking = self._asking.get(digest)
        if asking is None:
            asking = asyncio.create_task(self._ask(token))
            self._asking[digest] = asking
            asking.add_done_callback(lambda task: self._keep(digest, task))
        try:
            # One caller that leaves must not take the answer away from the others.
            return await asyncio.shield(asking)
        except _UnclearError as error:
            raise Problem("AUTH_UNAVAILABLE") from error

    def _keep(self, digest: bytes, task: asyncio.Task[Verdict]) -> None:
        del self._asking[digest]
        if task.cancelled() or task.exception() is not None:
            return
        self._known[digest] = task.result()
        self._known.move_to_end(digest)
        if len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)

    async def _ask(self, token: str) -> Verdict:
        began = self._clock.now_ms()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await self._get(token)
            return _verdict(status, body, began)
        except (httpx.HTTPError, TimeoutError, UnreadableAnswerError, ValueError) as error:
            # The kind only: what a broken server sends back may hold the token.
            log.warning("authority.unclear", cause=type(error).__name__)
            raise _UnclearError from error

    async def _get(self, token: str) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        async with self._client.stream("GET", PATH, headers=headers) as answer:
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise UnreadableAnswerError("the answer is too long")
            return answer.status_code, body


def _verdict(status: int, body: bytes, began: int) -> Verdict:
    if status == httpx.codes.OK:
        caller = read_caller(orjson.loads(body))
        until = began + KNOWN_MS
        if caller.token_expires_at is not None:
            until = min(until, caller.token_expires_at)
        return Verdict(caller, "", until)
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        code = _EXPIRED if _says_expired(body) else "AUTH_TOKEN_INVALID"
        return Verdict(None, code, began + UNKNOWN_MS)
    raise UnreadableAnswerError(f"status {status}")


def _says_expired(body: bytes) -> bool:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(answer, dict) and answer.get("error_code") == _EXPIRED
