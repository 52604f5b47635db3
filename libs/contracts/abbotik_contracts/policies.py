"""Actors and policies of a room, as callers write them and as they are stored, with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from abbotik_contracts.frozen import Frozen

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:/-]{1,128}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]


class Actor(Frozen):
    """One language-model actor of a room's roster."""

    agent_id: Slug | None = None
    role: Name = "assistant"
    adapter: Literal["native", "codex", "pi"] = "native"
    provider: Slug | None = None
    model: Slug | None = None
    skills: Annotated[list[Slug], Field(max_length=64)] = []
    instructions: Annotated[str, StringConstraints(max_length=65_536)] | None = None


class TurnPolicy(Frozen):
    """Which actors answer a message."""

    mode: Literal["first", "coordinator", "round_robin", "all_then_judge"] = "first"


class ToolPolicy(Frozen):
    """Which tools a turn may call: all but these (`deny`), or only these (`allow`)."""

    mode: Literal["deny", "allow"] = "deny"
    tools: Annotated[list[Slug], Field(max_length=256)] = []
    approval: Annotated[dict[Slug, Literal["always", "never"]], Field(max_length=256)] = {}


class WakePolicy(Frozen):
    """What starts a turn, and when a room without work falls asleep. Times in seconds."""

    mode: Literal["on_message", "explicit"] = "on_message"
    sleep_after_s: Seconds | None = None
    schedule: dict[str, JsonValue] | None = None


class DonePolicy(Frozen):
    """When a room has done its work."""

    mode: Literal["explicit", "on_idle", "max_turns", "budget"] = "explicit"
    max_turns: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_cost: Annotated[float, Field(gt=0, strict=False)] | None = None
    deadline: str | None = None
    then: Literal["sleep", "release", "ask"] | None = None


def unsupported(config: Mapping[str, object]) -> list[str]:
    """Return JSON pointers to the members whose mechanism this version does not have.

    ``config`` holds validated models or plain values under the names of a room's configuration.
    """
    found: list[str] = []
    turn, tool = config.get("turn_policy"), config.get("tool_policy")
    wake, done = config.get("wake_policy"), config.get("done_policy")
    if isinstance(turn, TurnPolicy) and turn.mode != "first":
        found.append("/turn_policy/mode")
    if isinstance(tool, ToolPolicy):
        found += [
            f"/tool_policy/approval/{name.replace('/', '~1')}"
            for name, when in tool.approval.items()
            if when == "always"
        ]
    if isinstance(wake, WakePolicy) and wake.schedule is not None:
        found.append("/wake_policy/schedule")
    if isinstance(done, DonePolicy):
        given = done.model_dump(exclude_none=True, exclude={"mode"})
        found += ["/done_policy/mode"] if done.mode != "explicit" else []
        found += [f"/done_policy/{member}" for member in given]
    if config.get("mcp_servers"):
        found.append("/mcp_servers")
    return found
