"""The gate: from a request's headers to its caller."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from starlette.requests import Request

from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.ports import Authority
from abbotik_kernel.clock import Clock

MAX_TOKEN_CHARS = 4096


class Gate:
    """Asks the authorities in their order; the first that knows the token decides."""

    def __init__(self, authorities: Sequence[Authority], clock: Clock) -> None:
        self._authorities = authorities
        self._clock = clock

    async def caller_of(self, request: Request, needs: str = "read") -> Caller:
        """Return who calls, with at least the access ``needs``; raise the fitting Problem."""
        caller = await self._identify(read_token(request))
        until = caller.token_expires_at
        if until is not None and until <= self._clock.now_ms():
            raise Problem("AUTH_TOKEN_EXPIRED")
        structlog.contextvars.bind_contextvars(tenant=caller.tenant)
        caller.needs(needs)
        return caller

    async def _identify(self, token: str) -> Caller:
        refusal: Problem | None = None
        for authority in self._authorities:
            try:
                caller = await authority.identify(token)
            except Problem as problem:
                # One that cannot tell outweighs one that said no: never 401 for want of an answer.
                if refusal is None or refusal.code != "AUTH_UNAVAILABLE":
                    refusal = problem
                continue
            if caller is not None:
                return caller
        raise refusal or Problem("AUTH_TOKEN_INVALID")


def read_token(request: Request) -> str:
    """Return the bearer token; AUTH_TOKEN_REQUIRED or AUTH_TOKEN_INVALID without a usable one."""
    values = request.headers.getlist("authorization")
    if not values:
        raise Problem("AUTH_TOKEN_REQUIRED")
    scheme, _, token = values[0].partition(" ")
    token = token.strip(" ")
    if (
        len(values) > 1
        or scheme.lower() != "bearer"
        or not 0 < len(token) <= MAX_TOKEN_CHARS
        or not (token.isascii() and token.isprintable())
        or " " in token
    ):
        raise Problem("AUTH_TOKEN_INVALID", "Send one header `Authorization: Bearer <token>`.")
    return token
