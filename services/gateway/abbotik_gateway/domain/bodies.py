"""From a JSON object to a validated body: every rule that needs no look at the room."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import orjson
from pydantic import JsonValue, ValidationError

from abbotik_contracts.faults import faults
from abbotik_contracts.frozen import Frozen
from abbotik_contracts.policies import unsupported
from abbotik_contracts.room_bodies import (
    MAX_RESULT_BYTES,
    InterruptBody,
    MessageBody,
    ReleaseBody,
    RentBody,
    WakeBody,
)
from abbotik_contracts.room_commands import PatchChange
from abbotik_contracts.room_config import MAX_CONFIG_BYTES, RoomConfig
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.problem import Problem, invalid

Body = TypeVar("Body", bound=Frozen)
Members = dict[str, JsonValue]

MAX_METADATA_BYTES = 64 * 1024
BUILT_DELIVERIES = ("queue", "reject")
PATCHABLE = tuple(RoomConfig.model_fields)

_NAMED = re.compile(r"[^`]*`([a-z_]+)`")
_NOT_BUILT = "this mechanism is not built yet"


def validated(model: type[Body], members: Mapping[str, JsonValue]) -> Body:
    """Return the body; VALIDATION_FAILED with every fault where it is none."""
    try:
        return model.model_validate(members)
    except ValidationError as error:
        raise invalid([_placed(fault) for fault in faults(error)]) from error


def _placed(fault: dict[str, str]) -> dict[str, str]:
    """Give a fault that a model found as a whole the pointer of the member that it names first."""
    named = _NAMED.match(fault["message"])
    if fault["pointer"] or named is None:
        return fault
    return {**fault, "pointer": f"/{named[1]}"}


def of_tenant(members: Members, caller: Caller) -> Members:
    """Return the members without `tenant_id`, which any body may hold; it must be the caller's."""
    if "tenant_id" not in members:
        return members
    tenant_id = members["tenant_id"]
    if tenant_id is not None and not isinstance(tenant_id, str):
        raise invalid([_fault("/tenant_id", "must be a text")])
    if tenant_id is not None and tenant_id != caller.tenant:
        raise Problem("TENANT_MISMATCH")
    return {name: member for name, member in members.items() if name != "tenant_id"}


def rent_body(members: Members) -> RentBody:
    """Return the body of a rent."""
    body = validated(RentBody, members)
    _refuse_unbuilt(unsupported(dict(body)))
    _bounded(members, "", MAX_CONFIG_BYTES)
    return body


def message_body(members: Members) -> MessageBody:
    """Return the body of a message."""
    body = validated(MessageBody, members)
    if body.delivery not in BUILT_DELIVERIES:
        raise Problem(
            "DELIVERY_NOT_SUPPORTED",
            f"`{body.delivery}` is not built yet; use `queue` or `reject`.",
            extra={"errors": [{"pointer": "/delivery", "message": _NOT_BUILT}]},
        )
    _bounded(body.metadata, "/metadata", MAX_METADATA_BYTES)
    return body


def wake_body(members: Members) -> WakeBody:
    """Return the body of a wake; its content obeys the rules of a message's."""
    body = validated(WakeBody, members)
    if body.content is not None:
        validated(MessageBody, {"content": members["content"]})
    return body


def interrupt_body(members: Members) -> InterruptBody:
    """Return the body of an interrupt."""
    return validated(InterruptBody, members)


def release_body(members: Members) -> ReleaseBody:
    """Return the body of a release."""
    body = validated(ReleaseBody, members)
    _bounded(body.result, "/result", MAX_RESULT_BYTES)
    return body


def patch_change(members: Members, if_match: int | None) -> PatchChange:
    """Return the merge patch, its members known and `agents` called `actors`.

    Whether the patched room is right only the worker can say, which knows the room.
    """
    patch = dict(members)
    if "agents" in patch:
        if "actors" in patch:
            raise invalid([_fault("/agents", "give `actors` or `agents`, not both")])
        patch["actors"] = patch.pop("agents")
    strange = [name for name in patch if name not in PATCHABLE]
    if strange:
        raise invalid([_fault(f"/{_escaped(name)}", "cannot be changed") for name in strange])
    _bounded(patch, "", MAX_CONFIG_BYTES)
    return PatchChange(patch=patch, if_match=if_match)


def _refuse_unbuilt(pointers: Sequence[str]) -> None:
    if pointers:
        raise Problem(
            "POLICY_NOT_SUPPORTED",
            extra={"errors": [dict(_fault(where, _NOT_BUILT)) for where in pointers]},
        )


def _bounded(value: JsonValue | Members, where: str, limit: int) -> None:
    if len(orjson.dumps(value)) > limit:
        raise invalid([_fault(where, f"is larger than {limit} bytes")])


def _fault(where: str, message: str) -> dict[str, str]:
    return {"pointer": where, "message": message}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
