"""Bodies of the room routes: what a caller may send, and nothing else."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator

from abbotik_contracts.frozen import Frozen
from abbotik_contracts.policies import DonePolicy, ToolPolicy, TurnPolicy, WakePolicy
from abbotik_contracts.room_config import Metadata, Purpose, Roster

MAX_CONTENT_BYTES = 256 * 1024
MAX_RESULT_BYTES = 64 * 1024

Uuid = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
]


class TextBlock(Frozen):
    """One block of a message's content."""

    type: Literal["text"]
    text: str


Content = str | Annotated[list[TextBlock], Field(min_length=1, max_length=256)]


def content_text(content: Content) -> str:
    """Return the text of a content; blocks are joined by a newline."""
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content)


class RentBody(Frozen):
    """POST /llm/room."""

    purpose: Purpose = ""
    actors: Roster | None = None
    agents: Roster | None = None
    turn_policy: TurnPolicy = TurnPolicy()
    tool_policy: ToolPolicy = ToolPolicy()
    wake_policy: WakePolicy = WakePolicy()
    done_policy: DonePolicy = DonePolicy()
    mcp_servers: list[dict[str, JsonValue]] = []
    metadata: Metadata = {}
    tenant_id: str | None = None

    @model_validator(mode="after")
    def _one_roster(self) -> Self:
        if self.actors is not None and self.agents is not None:
            raise ValueError("give the roster as `actors` or as `agents`, not as both")
        return self


def _in_bounds(content: Content) -> Content:
    text = content_text(content)
    if not text.strip():
        raise ValueError("`content` is blank")
    if len(text.encode()) > MAX_CONTENT_BYTES:
        raise ValueError(f"`content` is larger than {MAX_CONTENT_BYTES} bytes")
    return content


class MessageBody(Frozen):
    """POST /llm/room/:id/messages."""

    kind: Literal["task", "message", "steer", "summary"] = "task"
    # Of the member and not of the model: a command that is made of a body does not check it again.
    content: Annotated[Content, AfterValidator(_in_bounds)]
    actor_key: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    # Given as a default, `{}` would be copied deeply for each message without metadata.
    metadata: Metadata = Field(default_factory=dict, json_schema_extra={"default": {}})
    delivery: Literal["queue", "reject", "interrupt", "merge", "steer", "rollback"] = "queue"


class WakeBody(Frozen):
    """POST /llm/room/:id/wake."""

    reason: Annotated[str, StringConstraints(max_length=1024)] | None = None
    content: Content | None = None


class InterruptBody(Frozen):
    """POST /llm/room/:id/interrupt. ``deadline_ms`` in milliseconds from now."""

    turn_id: Uuid | None = None
    mode: Literal["soft", "hard"] = "hard"
    deadline_ms: Annotated[int, Field(ge=0, le=600_000)] | None = None


class ReleaseBody(Frozen):
    """POST /llm/room/:id/release."""

    result: JsonValue = None
    reason: Annotated[str, StringConstraints(max_length=1024)] | None = None
