"""The OpenAPI document: FastAPI puts it together, what it cannot derive is added here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from abbotik_contracts.errors import ERRORS
from abbotik_gateway.description.components import components
from abbotik_gateway.description.records import ID, Schema, listed, maybe, named, record
from abbotik_gateway.routes.operation import READ_S, Operation, Parameter, PlainRoute, Shown, within
from abbotik_gateway.web.answers import PROBLEM

VERSION = "0.1.0"
TITLE = "Abbotik LLM"
_TEXT = (
    "Rooms in which language-model actors work. Every answer is `{success, data}` or a problem "
    "(RFC 9457). Start at `/docs`."
)
# What any route, any protected one, any that reads a body, any that needs a server may answer.
_ANY = ("METHOD_NOT_ALLOWED", "HEADERS_TOO_LARGE", "INTERNAL")
_PROTECTED = (
    "AUTH_TOKEN_REQUIRED",
    "AUTH_TOKEN_INVALID",
    "AUTH_TOKEN_EXPIRED",
    "AUTH_FORBIDDEN",
    "AUTH_UNAVAILABLE",
    "SERVICE_UNAVAILABLE",
)
_WITH_BODY = (
    "INVALID_REQUEST_BODY",
    "BODY_NOT_OBJECT",
    "HEADER_INVALID",
    "BODY_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "VALIDATION_FAILED",
    "COMMAND_UNCONFIRMED",
)
# What an answer outside of the envelope is, by its media type; text where it is not named here.
_BARE = {"application/json": "object"}
_KEYED = ("IDEMPOTENCY_KEY_REUSED", "IDEMPOTENCY_IN_PROGRESS")


def add_operations(app: FastAPI, operations: list[Operation]) -> None:
    """Register the operations on each of their paths, and let the app describe them."""
    for operation in operations:
        endpoint = operation.endpoint
        if operation.reads:
            endpoint = within(endpoint, READ_S)
        for index, path in enumerate(operation.paths):
            app.router.add_api_route(
                path,
                endpoint,
                methods=[operation.method],
                operation_id=operation.name + ("" if index == 0 else "Alias"),
                summary=operation.summary,
                description=operation.text,
                tags=[operation.tag],
                status_code=next(iter(operation.answers)),
                responses=_responses(operation),
                openapi_extra=_extra(operation, path),
                route_class_override=PlainRoute,
            )


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of everything that is registered."""
    made = get_openapi(title=TITLE, version=VERSION, description=_TEXT, routes=app.routes)
    made["components"] = components()
    return made


def _extra(operation: Operation, path: str) -> dict[str, Any]:
    in_path = [part[1:-1].split(":")[0] for part in path.split("/") if part.startswith("{")]
    extra: dict[str, Any] = {
        "parameters": [
            *(_in_path(name) for name in in_path),
            *(_parameter(one) for one in operation.parameters),
        ]
    }
    if operation.needs is not None:
        extra["security"] = [{"bearer": []}]
        extra["x-access"] = operation.needs
    if operation.body is not None:
        schema = named(operation.body)
        extra["requestBody"] = {
            "content": {media_type: {"schema": schema} for media_type in operation.body_types},
            "required": operation.name == "postMessage",
        }
    return extra


def _in_path(name: str) -> dict[str, Any]:
    schema = ID if name.endswith("_id") else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.text,
        "required": parameter.required,
        "schema": parameter.schema,
    }


def _responses(operation: Operation) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for status, shown in operation.answers.items():
        found[status] = {"description": shown.text, "content": _content(shown)}
        if shown.headers:
            found[status]["headers"] = {
                name: {"schema": {"type": "string"}} for name in shown.headers
            }
    by_status: dict[int, list[str]] = {}
    for code in _codes(operation):
        by_status.setdefault(ERRORS[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        found.setdefault(
            status,
            {
                "description": ", ".join(f"`{code}`" for code in codes),
                "content": {PROBLEM: {"schema": named("Problem")}},
            },
        )
    return found


def _codes(operation: Operation) -> tuple[str, ...]:
    codes = operation.codes + _ANY
    if operation.needs is not None:
        codes += _PROTECTED
    if operation.body is not None:
        codes += _WITH_BODY
    if operation.method == "POST" and operation.body is not None:
        codes += _KEYED
    return tuple(dict.fromkeys(codes))


def _content(shown: Shown) -> dict[str, Any]:
    if shown.schema is None:
        return {shown.media_type: {"schema": {"type": _BARE.get(shown.media_type, "string")}}}
    return {shown.media_type: {"schema": _enveloped(named(shown.schema), shown.form)}}


def _enveloped(schema: Schema, form: str) -> Schema:
    success = {"const": True}
    if form == "record":
        return record({"success": success, "data": schema})
    if form == "array":
        return record({"success": success, "data": listed(schema)})
    return record(
        {
            "success": success,
            "data": listed(schema),
            "next_cursor": maybe({"type": "string"}),
            "has_more": {"type": "boolean"},
        }
    )
