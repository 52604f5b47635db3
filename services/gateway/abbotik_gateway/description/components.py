"""The components of `/openapi.json`: what callers send, and what they get."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from abbotik_contracts.policies import Actor
from abbotik_contracts.room_bodies import (
    InterruptBody,
    MessageBody,
    ReleaseBody,
    RentBody,
    TextBlock,
    WakeBody,
)
from abbotik_contracts.room_config import RoomConfig
from abbotik_gateway.description.records import RECORDS, Schema, maybe
from abbotik_gateway.domain.bodies import BUILT_DELIVERIES

_BODIES = (
    RentBody,
    MessageBody,
    WakeBody,
    InterruptBody,
    ReleaseBody,
    RoomConfig,
    Actor,
    TextBlock,
)
_REF = "#/components/schemas/{model}"
# Content that is nothing but white space is refused; no length says that.
_NOT_BLANK = r"\S"


def components() -> dict[str, Any]:
    """Return the components."""
    _, made = models_json_schema([(model, "validation") for model in _BODIES], ref_template=_REF)
    schemas: dict[str, Schema] = made["$defs"]
    config = schemas.pop(RoomConfig.__name__)
    schemas["RoomPatch"] = _patch_of(config)
    _narrow(schemas)
    return {
        "schemas": {**schemas, **RECORDS},
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    }


def _patch_of(config: Schema) -> Schema:
    """Return the schema of a merge patch: each member on its own, null resets it.

    Inside of a policy null resets too, which the policy's own schema does not know.
    """
    members = {name: _without_default(schema) for name, schema in config["properties"].items()}
    return {
        "type": "object",
        "title": "RoomPatch",
        "properties": {
            name: maybe({"type": "object"}) if "$ref" in schema else maybe(schema)
            for name, schema in members.items()
        },
        "additionalProperties": False,
    }


def _without_default(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "default"}


def _narrow(schemas: dict[str, Schema]) -> None:
    """Leave out what the contracts know and this version refuses (`POLICY_NOT_SUPPORTED` …)."""
    members = {name: schema.get("properties", {}) for name, schema in schemas.items()}
    members["MessageBody"]["delivery"]["enum"] = list(BUILT_DELIVERIES)
    members["TurnPolicy"]["mode"] = {"const": "first", "default": "first"}
    members["ToolPolicy"]["approval"]["additionalProperties"] = {"const": "never"}
    for name in members["DonePolicy"]:
        members["DonePolicy"][name] = {"type": "null"}
    members["DonePolicy"]["mode"] = {"const": "explicit", "default": "explicit"}
    for name in ("RoomPatch", "MessageBody", "WakeBody", "InterruptBody", "ReleaseBody"):
        members[name]["tenant_id"] = dict(members["RentBody"]["tenant_id"])
    for name in ("RentBody", "RoomPatch"):
        for branch in _branches(members[name]["mcp_servers"]):
            branch["maxItems"] = 0
    # One roster, under one of its two names.
    schemas["RentBody"]["not"] = {
        "required": ["actors", "agents"],
        "properties": {"actors": {"type": "array"}, "agents": {"type": "array"}},
    }
    for name in ("MessageBody", "WakeBody"):
        for branch in _branches(members[name]["content"]):
            if branch.get("type") == "string":
                branch["pattern"] = _NOT_BLANK
    members["TextBlock"]["text"]["pattern"] = _NOT_BLANK


def _branches(schema: Schema) -> list[Schema]:
    found: list[Schema] = schema.get("anyOf", [schema])
    return found
