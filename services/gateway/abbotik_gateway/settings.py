"""The gateway's settings."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from abbotik_gateway.domain.pressure import Limits
from abbotik_runtime.settings import Port, ServiceSettings

MIN_REMOTE_TOKEN = 32
_AUTHORITIES = ("dev", "introspect")
_DOCS = Path(__file__).parents[3] / "docs"


class Settings(ServiceSettings):
    """What the gateway reads beyond what every service reads."""

    metrics_port: Port = Field(
        default=9102,
        validation_alias="ABBOTIK_METRICS_PORT",
        description="a port from 1 to 65535, or 0 for any free one",
    )
    port: Port = Field(
        default=9002,
        validation_alias="PORT",
        description="a port from 1 to 65535, or 0 for any free one",
    )
    auth: str = Field(
        default="dev",
        validation_alias="ABBOTIK_AUTH",
        description="`dev`, `introspect`, or both in the order to ask, with a comma between",
    )
    dev_token: str | None = Field(
        default=None,
        validation_alias="ABBOTIK_DEV_TOKEN",
        description="8 to 4096 visible ASCII characters, 32 or more off loopback",
        repr=False,
    )
    dev_root_token: str | None = Field(
        default=None,
        validation_alias="ABBOTIK_DEV_ROOT_TOKEN",
        description="8 to 4096 visible ASCII characters, 32 or more off loopback",
        repr=False,
    )
    dev_allow_remote: bool = Field(
        default=False, validation_alias="ABBOTIK_DEV_ALLOW_REMOTE", description="1 or 0"
    )
    api_url: str | None = Field(
        default=None,
        validation_alias="ABBOTIK_API_URL",
        description="the http:// or https:// URL of the API server, without a path",
    )
    room_store: Literal["mongo"] = Field(
        default="mongo",
        validation_alias="ABBOTIK_ROOM_STORE",
        description="`mongo`; `memory` and `api` are not built in yet",
    )
    max_commands_waiting: Annotated[int, Field(ge=1)] = Field(
        default=2_000,
        validation_alias="ABBOTIK_MAX_COMMANDS_WAITING",
        description="how many commands may wait for a worker, 1 or more",
    )
    max_turns_waiting: Annotated[int, Field(ge=1)] = Field(
        default=10_000,
        validation_alias="ABBOTIK_MAX_TURNS_WAITING",
        description="how many rooms may wait for a free turn slot, 1 or more",
    )
    max_store_s: Annotated[float, Field(gt=0)] = Field(
        default=1.0,
        validation_alias="ABBOTIK_MAX_STORE_S",
        description="seconds that MongoDB may take to answer or confirm, above 0",
    )
    max_projection_s: Annotated[float, Field(gt=0)] = Field(
        default=10.0,
        validation_alias="ABBOTIK_MAX_PROJECTION_S",
        description="seconds that lists may lag behind rooms, above 0",
    )
    docs: Path = Field(
        default=_DOCS,
        validation_alias="ABBOTIK_DOCS",
        description="the folder that holds the documents",
    )

    @field_validator("auth")
    @classmethod
    def _known_authorities(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",")]
        if "keys" in names:
            raise ValueError("`keys` is not built in yet")
        if not set(names) <= set(_AUTHORITIES) or len(set(names)) != len(names):
            raise ValueError("an authority is unknown, or named twice")
        return ",".join(names)

    @field_validator("dev_token", "dev_root_token")
    @classmethod
    def _usable_token(cls, value: str | None) -> str | None:
        if value is not None and not (
            8 <= len(value) <= 4096  # noqa: PLR2004  the gate takes no longer one
            and value.isascii()
            and value.isprintable()
            and " " not in value
        ):
            raise ValueError("the token cannot be used")
        return value

    @field_validator("api_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("the URL has no scheme that HTTP knows")
        return value

    @model_validator(mode="after")
    def _authorities_can_work(self) -> Self:
        if "introspect" in self.authorities and self.api_url is None:
            raise ValueError("ABBOTIK_AUTH has `introspect`, which needs ABBOTIK_API_URL")
        if "dev" in self.authorities:
            self._dev_is_safe()
        return self

    def _dev_is_safe(self) -> None:
        tokens = (self.dev_token, self.dev_root_token)
        if tokens[0] is not None and tokens[0] == tokens[1]:
            raise ValueError("ABBOTIK_DEV_TOKEN and ABBOTIK_DEV_ROOT_TOKEN must differ")
        if self._on_loopback():
            return
        if not self.dev_allow_remote:
            raise ValueError(
                f"ABBOTIK_AUTH has `dev`, whose tokens are for this machine only, and HOST is "
                f"{self.host}: bind 127.0.0.1, or set ABBOTIK_DEV_ALLOW_REMOTE=1 and both tokens"
            )
        if not all(token is not None and len(token) >= MIN_REMOTE_TOKEN for token in tokens):
            raise ValueError(
                "off loopback ABBOTIK_DEV_TOKEN and ABBOTIK_DEV_ROOT_TOKEN must both be given, "
                f"with {MIN_REMOTE_TOKEN} characters or more"
            )

    @property
    def limits(self) -> Limits:
        """From where on new work is refused."""
        return Limits(
            self.max_commands_waiting,
            self.max_turns_waiting,
            self.max_store_s,
            self.max_projection_s,
        )

    def _on_loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @classmethod
    def explain(cls, error: ValidationError) -> list[str]:
        """Say what is wrong; faults of several variables name them in their sentence."""
        return [line.removeprefix(": ") for line in super().explain(error)]

    @property
    def authorities(self) -> list[str]:
        """The names of the authorities, in the order to ask."""
        return self.auth.split(",")
