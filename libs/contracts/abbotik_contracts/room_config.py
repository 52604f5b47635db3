"""A room's configuration: what a caller sets at rent and changes by PATCH."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints, field_validator

from abbotik_contracts.frozen import Frozen
from abbotik_contracts.policies import Actor, DonePolicy, ToolPolicy, TurnPolicy, WakePolicy

MAX_CONFIG_BYTES = 256 * 1024

Purpose = Annotated[str, StringConstraints(max_length=4096)]
Metadata = dict[str, JsonValue]
Roster = Annotated[list[Actor], Field(min_length=1, max_length=32)]


class RoomConfig(Frozen):
    """The configuration as it is stored; every member has a default, so null resets it."""

    purpose: Purpose = ""
    actors: Roster = [Actor()]
    turn_policy: TurnPolicy = TurnPolicy()
    tool_policy: ToolPolicy = ToolPolicy()
    wake_policy: WakePolicy = WakePolicy()
    done_policy: DonePolicy = DonePolicy()
    mcp_servers: list[dict[str, JsonValue]] = []
    metadata: Metadata = {}
    summary_text: Annotated[str, StringConstraints(max_length=65_536)] = ""

    @field_validator("actors")
    @classmethod
    def _agents_are_told_apart(cls, actors: list[Actor]) -> list[Actor]:
        named = [actor.agent_id for actor in actors if actor.agent_id is not None]
        if len(set(named)) != len(named):
            raise ValueError("two actors have the same `agent_id`")
        return actors

    def staffed(self, provider: str, model: str) -> RoomConfig:
        """Return a copy in which every actor has an id, a provider and a model.

        An actor without an id becomes `assistant-<place>`, places counted from 1; one that names
        no provider gets the installation's default ``provider`` and ``model``.
        """
        staffed = [
            actor.model_copy(
                update={
                    "agent_id": actor.agent_id or f"assistant-{place}",
                    "provider": actor.provider or provider,
                    "model": actor.model or (model if actor.provider in (None, provider) else None),
                }
            )
            for place, actor in enumerate(self.actors, start=1)
        ]
        return self.model_copy(update={"actors": staffed})


def merge_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """Apply a JSON merge patch (RFC 7396) and return the result; the arguments stay as they are."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
