"""Every error code an answer may carry: its status, its title, and what the caller can do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorCode:
    """One row of `docs/errors.md`. ``status`` is the HTTP status."""

    code: str
    status: int
    title: str
    advice: str


_ROWS = (
    ErrorCode("INVALID_REQUEST_BODY", 400, "The body is not JSON", "Send one JSON object in UTF-8, without duplicate names, NaN or Infinity."),
    ErrorCode("BODY_NOT_OBJECT", 400, "The body is not an object", "Wrap the value in a JSON object."),
    ErrorCode("CURSOR_INVALID", 400, "The cursor cannot be read", "Use a cursor, or an event position, exactly as an earlier answer gave it."),
    ErrorCode("HEADER_INVALID", 400, "A header cannot be read", "See `detail` for the header and its form."),
    ErrorCode("AUTH_TOKEN_REQUIRED", 401, "A token is needed", "Send `Authorization: Bearer <token>`."),
    ErrorCode("AUTH_TOKEN_INVALID", 401, "The token is not known", "Check the token, or get a new one."),
    ErrorCode("AUTH_TOKEN_EXPIRED", 401, "The token has expired", "Get a new token."),
    ErrorCode("AUTH_FORBIDDEN", 403, "The token's access does not cover this", "Use a token with the access word that `detail` names."),
    ErrorCode("ROOT_REQUIRED", 403, "Only root may do this", "Use a root token."),
    ErrorCode("ADMIN_REQUIRED", 403, "Only a tenant's admin may do this", "Use a token with `full` access."),
    ErrorCode("TENANT_MISMATCH", 403, "The body names another tenant", "Leave `tenant_id` out, or send your own."),
    ErrorCode("NOT_FOUND", 404, "There is no such route", "See `/openapi.json`."),
    ErrorCode("ROOM_NOT_FOUND", 404, "There is no such room", "Check the id; rooms of other tenants are not shown."),
    ErrorCode("MESSAGE_NOT_FOUND", 404, "There is no such message", "Check the id against the room's messages."),
    ErrorCode("TURN_NOT_FOUND", 404, "There is no such turn", "Check the id against the room's turns."),
    ErrorCode("METHOD_NOT_ALLOWED", 405, "The route does not know this method", "See the `Allow` header."),
    ErrorCode("ILLEGAL_TRANSITION", 409, "The state does not allow this", "See `allowed` for what it does accept."),
    ErrorCode("ROOM_RELEASED", 409, "The room is released or being released", "Rent another room."),
    ErrorCode("ROOM_BUSY", 409, "The room is busy", 'Wait for the turn, or send `delivery: "queue"`.'),
    ErrorCode("ROOM_NOT_RUNNING", 409, "No such turn is running", "Read `current_turn` of the room."),
    ErrorCode("CURSOR_AHEAD", 409, "The cursor is ahead of the log", "Start from the room's `last_event_seq`."),
    ErrorCode("IDEMPOTENCY_IN_PROGRESS", 409, "The first request with this key is still running", "Wait `Retry-After` seconds and send it again."),
    ErrorCode("PRECONDITION_FAILED", 412, "The record has changed", "Read it again and repeat with its new `ETag`."),
    ErrorCode("BODY_TOO_LARGE", 413, "The body is too large", "See `detail` for the limit."),
    ErrorCode("UNSUPPORTED_MEDIA_TYPE", 415, "The body's type is not supported", "Send `Content-Type: application/json`."),
    ErrorCode("VALIDATION_FAILED", 422, "Members of the request are wrong", "`errors[]` names each by its JSON pointer."),
    ErrorCode("POLICY_NOT_SUPPORTED", 422, "A mechanism that is not built yet", "Leave out the members that `errors[]` names."),
    ErrorCode("DELIVERY_NOT_SUPPORTED", 422, "A delivery that is not built yet", "Use `queue` or `reject`."),
    ErrorCode("IDEMPOTENCY_KEY_REUSED", 422, "The key was used for another body", "Take a new key for a new request."),
    ErrorCode("ROOM_QUEUE_FULL", 429, "The room's queue is full", "Wait for turns to end; see `Retry-After`."),
    ErrorCode("RATE_LIMITED", 429, "Too many requests", "See `Retry-After`."),
    ErrorCode("HEADERS_TOO_LARGE", 431, "The headers are too large", "Send at most 16 KiB of headers."),
    ErrorCode("AUTH_UNAVAILABLE", 503, "The authority does not answer", "Send the request again later; see `Retry-After`."),
    ErrorCode("COMMAND_UNCONFIRMED", 503, "The outcome is open", "Send the same request with the same `Idempotency-Key` again."),
    ErrorCode("SERVICE_UNAVAILABLE", 503, "The service cannot do this now", "See `Retry-After`."),
    ErrorCode("INTERNAL", 500, "A fault of the service", "Report it with its `x-request-id`."),
)  # fmt: skip

# Codes that a failed turn leaves in `last_error` and in its `error` event; never an HTTP status.
_TURN_ROWS = (
    ErrorCode("PROVIDER_NOT_CONFIGURED", 0, "The actor's provider is not set up here", "Configure the provider, or PATCH the actor."),
    ErrorCode("EXECUTOR_FAILED", 0, "The executor ended with an error", "See `message`; post a message or wake the room to go on."),
    ErrorCode("SCRIPT_INVALID", 0, "A scripted message has a line that is no directive", "See `message` for the line; the directives are in `/docs/llm/scripted`."),
    ErrorCode("TURN_POISONED", 0, "The turn made no progress over several workers", "See `message`; change the message or the actor."),
    ErrorCode("TURN_TIMEOUT", 0, "The turn passed its deadline", "Make the task smaller, or raise the deadline."),
    ErrorCode("TOOL_DENIED", 0, "The room's tool policy refuses the tool", "PATCH `tool_policy`."),
    ErrorCode("TOOL_FAILED", 0, "The tool ended with an error", "See the event's `error`."),
    ErrorCode("TOOL_OUTCOME_UNKNOWN", 0, "The worker was lost while a tool ran that must not run twice", "Find out whether it took effect before you go on."),
    ErrorCode("OUTPUT_TOO_LARGE", 0, "The answer is larger than a room keeps", "Ask for a shorter answer."),
)  # fmt: skip

ERRORS: dict[str, ErrorCode] = {row.code: row for row in _ROWS}
TURN_ERRORS: dict[str, ErrorCode] = {row.code: row for row in _TURN_ROWS}
