"""Actors and policies of a room, as callers write them and as they are stored, with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

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


class Schedule(Frozen):
    """When a room wakes by itself: once (``at``), every so many seconds, or by a cron line.

    ``at`` is an RFC 3339 time with its offset; ``cron`` has five fields, read in ``timezone``, an
    IANA name. An occurrence posts ``content``, if there is one. ``overlap`` says what becomes of
    one that meets a room with work, ``misfire`` what becomes of those that nobody was there for.
    """

    at: Annotated[str, StringConstraints(max_length=64)] | None = None
    every_s: Seconds | None = None
    cron: Annotated[str, StringConstraints(max_length=256)] | None = None
    timezone: Annotated[str, StringConstraints(max_length=64)] | None = None
    content: Annotated[str, StringConstraints(min_length=1, max_length=32_768)] | None = None
    overlap: Literal["skip", "queue"] = "skip"
    misfire: Literal["fire_once", "skip"] = "fire_once"

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [name for name in ("at", "every_s", "cron") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError("needs exactly one of at, every_s and cron")
        if self.timezone is not None and self.cron is None:
            raise ValueError("timezone belongs to cron; at carries its offset")
        return self


class WakePolicy(Frozen):
    """What starts a turn, and when a room without work falls asleep. Times in seconds."""

    mode: Literal["on_message", "explicit"] = "on_message"
    sleep_after_s: Seconds | None = None
    schedule: Schedule | None = None


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
    done = config.get("done_policy")
    if isinstance(turn, TurnPolicy) and turn.mode != "first":
        found.append("/turn_policy/mode")
    if isinstance(tool, ToolPolicy):
        found += [
            f"/tool_policy/approval/{name.replace('/', '~1')}"
            for name, when in tool.approval.items()
            if when == "always"
        ]
    if isinstance(done, DonePolicy):
        given = done.model_dump(exclude_none=True, exclude={"mode"})
        found += ["/done_policy/mode"] if done.mode != "explicit" else []
        found += [f"/done_policy/{member}" for member in given]
    if config.get("mcp_servers"):
        found.append("/mcp_servers")
    return found
