"""The room worker's settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from abbotik_runtime.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """What the room worker reads beside what all services read."""

    metrics_port: Port = Field(
        default=9103,
        validation_alias="ABBOTIK_METRICS_PORT",
        description="a port from 1 to 65535, or 0 for any free one",
    )
    turn_slots: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=256,
        validation_alias="ABBOTIK_TURN_SLOTS",
        description="how many turns may run here at once, from 1 to 4096",
    )
    turn_timeout_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=900,
        validation_alias="ABBOTIK_TURN_TIMEOUT_S",
        description="seconds after which a turn fails, from 1 to 86400",
    )
    max_queue: Annotated[int, Field(ge=1, le=64)] = Field(
        default=64,
        validation_alias="ABBOTIK_ROOM_QUEUE",
        description="how many messages may wait in one room, from 1 to 64",
    )
    clock_shift_ms: int = Field(
        default=0,
        validation_alias="ABBOTIK_CLOCK_SHIFT_MS",
        description="milliseconds by which this process's clock is wrong, for fault tests",
    )
