"""What the verifier reads from its environment."""

from __future__ import annotations

from pydantic import Field

from abbotik_runtime.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """The settings of all services, with the verifier's own port."""

    metrics_port: Port = Field(
        default=9105,
        validation_alias="ABBOTIK_METRICS_PORT",
        description="a port from 1 to 65535, or 0 for any free one",
    )
