"""Reading a request's body: bounded in bytes and in time, and JSON or nothing."""

from __future__ import annotations

import asyncio
from email.message import Message

from pydantic import JsonValue
from starlette.requests import Request

from abbotik_gateway.begun import begin
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.domain.strict_json import read_object

MAX_BYTES = 1024 * 1024
JSON_TYPES = ("application/json",)
PATCH_TYPES = ("application/json", "application/merge-patch+json")

# From the first byte of the headers' end; a body that trickles in does not hold a worker for ever.
RECEIPT_S = 30.0
# What is read and thrown away of a body that is too large. A client that is still sending when
# the connection closes sees a reset in place of the answer.
_DRAIN_BYTES = 16 * MAX_BYTES
_DRAIN_S = 5.0

_CLOSE = {"Connection": "close"}


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


async def read_json(request: Request, types: tuple[str, ...] = JSON_TYPES) -> dict[str, JsonValue]:
    """Return the body's JSON object; an empty body is `{}` and needs no Content-Type.

    Raises Problem: BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST_BODY, BODY_NOT_OBJECT,
    VALIDATION_FAILED.
    """
    data = await read_bytes(request)
    if data:
        _check_type(request, types)
    return read_object(data)


async def read_bytes(request: Request, limit: int = MAX_BYTES) -> bytes:
    """Return the body; BODY_TOO_LARGE where it is, by its header or by count."""
    headers = request.headers
    length = headers.get("content-length")
    if length is None and "transfer-encoding" not in headers:
        return b""
    if length is not None and int(length) > limit:
        if headers.get("expect", "").lower() != "100-continue":
            await _drain(request)
        raise _too_large(limit)
    chunks = list[bytes]()
    # Most bodies came with their head, and need no timer.
    rest = begin(_receive(request, limit, chunks))
    if rest is not None:
        try:
            async with asyncio.timeout(RECEIPT_S):
                await rest
        except TimeoutError as error:
            detail = f"The body did not arrive within {RECEIPT_S:.0f} s."
            raise Problem("INVALID_REQUEST_BODY", detail, headers=_CLOSE) from error
    return b"".join(chunks)


async def _receive(request: Request, limit: int, chunks: list[bytes]) -> None:
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            await _drain(request)
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return


async def _drain(request: Request) -> None:
    left = _DRAIN_BYTES
    try:
        async with asyncio.timeout(_DRAIN_S):
            while left > 0:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _too_large(limit: int) -> Problem:
    return Problem("BODY_TOO_LARGE", f"The body is larger than {limit} bytes.", headers=_CLOSE)


def _check_type(request: Request, types: tuple[str, ...]) -> None:
    header = request.headers.get("content-type", "")
    if header == types[0] and "content-encoding" not in request.headers:
        return
    parsed = Message()
    parsed["content-type"] = header
    charset = parsed.get_content_charset() or "utf-8"
    encoding = request.headers.get("content-encoding", "identity")
    known = header and parsed.get_content_type() in types
    if not known or charset not in ("utf-8", "us-ascii") or encoding.lower() != "identity":
        raise Problem(
            "UNSUPPORTED_MEDIA_TYPE",
            f"Send {' or '.join(types)} in UTF-8, without a Content-Encoding.",
        )
