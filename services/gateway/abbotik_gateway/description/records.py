"""JSON Schemas of what the API answers with: the views of `contracts/room_log.py` and others."""

from __future__ import annotations

from typing import Any

from abbotik_contracts.errors import ERRORS
from abbotik_contracts.policies import Actor, DonePolicy, ToolPolicy, TurnPolicy, WakePolicy
from abbotik_gateway.domain.caller import ACCESS_WORDS
from abbotik_gateway.handlers.listing import STATUSES

Schema = dict[str, Any]

ID: Schema = {"type": "string", "format": "uuid"}
TIME: Schema = {"type": "string", "format": "date-time"}
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FREE: Schema = {"type": "object"}
BOOLEAN: Schema = {"type": "boolean"}


def maybe(schema: Schema) -> Schema:
    """Return the schema of a member that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def named(component: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{component}"}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of an object; further members may be added at any time."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


_TURN_STATUS: Schema = {"enum": ["running", "completed", "failed", "interrupted"]}
_CONTENT: Schema = {"anyOf": [TEXT, listed(named("TextBlock"))]}
_USAGE = record(
    {
        "input_tokens": COUNT,
        "output_tokens": COUNT,
        "total_tokens": COUNT,
        "cost": {"type": "number", "minimum": 0},
        "turns": COUNT,
        "tool_calls": COUNT,
    }
)
_LAST_ERROR = record({"code": TEXT, "message": TEXT, "turn_id": maybe(ID), "at": TIME})
_CURRENT_TURN = record({"turn_id": ID, "message_id": ID, "agent_id": TEXT, "started_at": TIME})

_ROOM = record(
    {
        "id": ID,
        "tenant_id": TEXT,
        "purpose": TEXT,
        "status": {"enum": list(STATUSES)},
        "rented_by": TEXT,
        "rented_at": TIME,
        "released_at": maybe(TIME),
        "last_active_at": TIME,
        "actors": listed(named(Actor.__name__)),
        "turn_policy": named(TurnPolicy.__name__),
        "tool_policy": named(ToolPolicy.__name__),
        "wake_policy": named(WakePolicy.__name__),
        "done_policy": named(DonePolicy.__name__),
        "mcp_servers": listed(FREE),
        "metadata": FREE,
        "summary_text": TEXT,
        "result": {},
        "last_error": maybe(_LAST_ERROR),
        "current_turn": maybe(_CURRENT_TURN),
        "queue_depth": COUNT,
        "last_event_seq": COUNT,
        "last_message_seq": COUNT,
        "policy_version": {"type": "integer", "minimum": 1},
        "next_wakes": listed(TIME),
        "usage": _USAGE,
    },
    {"warnings": listed(TEXT)},
)

_MESSAGE_MEMBERS: dict[str, Schema] = {
    "id": ID,
    "room_id": ID,
    "actor_key": maybe(TEXT),
    "agent_key": maybe(TEXT),
    "author_kind": {"enum": ["user", "agent", "system", "tool"]},
    "kind": {"enum": ["task", "message", "output", "steer", "summary"]},
    "content": _CONTENT,
    "metadata": FREE,
    "seq": {"type": "integer", "minimum": 1},
    "created_at": TIME,
    "state": {"enum": ["queued", "applied", "withdrawn"]},
    "turn_id": maybe(ID),
}
_BLOCKS = {"content_blocks": listed(named("TextBlock"))}

_EVENT = record(
    {
        "id": ID,
        "room_id": ID,
        "epoch": COUNT,
        "actor_key": maybe(TEXT),
        "agent_key": maybe(TEXT),
        "event_type": TEXT,
        "payload": FREE,
        "seq": {"type": "integer", "minimum": 1},
        "created_at": TIME,
        "turn_id": maybe(ID),
        "policy_version": {"type": "integer", "minimum": 1},
        "prev_hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    }
)

_TURN = record(
    {
        "id": ID,
        "turn_id": ID,
        "room_id": ID,
        "message_id": ID,
        "agent_id": TEXT,
        "provider": TEXT,
        "model": maybe(TEXT),
        "status": _TURN_STATUS,
        "started_at": TIME,
        "ended_at": maybe(TIME),
        "usage": FREE,
        "steps": listed(FREE),
        "context": FREE,
        "error": maybe(FREE),
    }
)

_PROBLEM = record(
    {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "instance": TEXT,
        "success": {"const": False},
        "error": TEXT,
        "error_code": {"enum": sorted(ERRORS)},
    },
    {
        "errors": listed(record({"pointer": TEXT, "message": TEXT})),
        "allowed": listed(TEXT),
    },
)

_INTROSPECTION = record(
    {
        "user": record({"id": TEXT, "username": TEXT, "access": {"enum": list(ACCESS_WORDS)}}),
        "tenant": record({"id": TEXT, "name": TEXT}),
        "token": record(
            {"auth_type": TEXT, "is_sudo": BOOLEAN}, {"key_id": TEXT, "expires_at": TIME}
        ),
    }
)

_HEALTH = record(
    {
        "status": {"enum": ["ok", "unready", "draining"]},
        "timestamp": TIME,
        "uptime": {"type": "number"},
        "checks": {
            "type": "object",
            "additionalProperties": record({"ok": BOOLEAN, "detail": TEXT}),
        },
    }
)

RECORDS: dict[str, Schema] = {
    "Room": _ROOM,
    "Message": record(_MESSAGE_MEMBERS, _BLOCKS),
    "AnsweredMessage": record(
        {
            **_MESSAGE_MEMBERS,
            "turn": record(
                {
                    "id": maybe(ID),
                    "status": {"enum": ["completed", "failed", "interrupted", "withdrawn"]},
                }
            ),
            "outputs": listed(named("Message")),
        },
        _BLOCKS,
    ),
    "Event": _EVENT,
    "Turn": _TURN,
    "Stopping": record({"turn_id": ID, "status": TEXT}),
    "History": record(
        {
            "room": named("Room"),
            "messages": listed(named("Message")),
            "events": listed(named("Event")),
            "has_more": BOOLEAN,
        }
    ),
    "Skill": record({"id": TEXT, "name": TEXT, "description": TEXT}),
    "Model": record({"id": TEXT, "provider": TEXT, "name": TEXT, "enabled": BOOLEAN}),
    "Provider": record(
        {"id": TEXT, "name": TEXT, "enabled": BOOLEAN, "models": listed(named("Model"))}
    ),
    "Introspection": _INTROSPECTION,
    "Health": _HEALTH,
    "Problem": _PROBLEM,
    "Nothing": {"type": "object", "additionalProperties": False},
    "Ticket": record({"ticket": TEXT, "room_id": ID, "expires_at": TIME}),
}
