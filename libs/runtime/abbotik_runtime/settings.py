"""A service's settings: read once from the environment, typed, every fault listed at start."""

from __future__ import annotations

import sys
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from abbotik_contracts.faults import faults

Port = Annotated[int, Field(ge=0, le=65535)]
# An even number of replicas survives no more than the odd one below it.
Replicas = Annotated[Literal[1, 3, 5], BeforeValidator(int)]

_NATS_SCHEMES = ("nats://", "tls://", "ws://", "wss://")
_MONGO_SCHEMES = ("mongodb://", "mongodb+srv://")


class ServiceSettings(BaseSettings):
    """What all services read; each service's `settings.py` derives from it.

    A field's alias is the name of its environment variable and its description says what a value
    must be. Both URLs may carry a password, so neither shows in a repr.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        # Compose writes `NAME=` for what the operator left out.
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    host: str = Field(
        default="127.0.0.1", validation_alias="HOST", description="the address to bind"
    )
    metrics_port: Port = Field(
        default=0,
        validation_alias="ABBOTIK_METRICS_PORT",
        description="a port from 1 to 65535, or 0 for any free one",
    )
    nats_url: str = Field(
        default="nats://127.0.0.1:4222",
        validation_alias="ABBOTIK_NATS_URL",
        description="one or more nats:// or tls:// URLs with commas between them",
        repr=False,
    )
    mongo_url: str = Field(
        default="mongodb://127.0.0.1:27017/?replicaSet=rs0",
        validation_alias="ABBOTIK_MONGO_URL",
        description="a mongodb:// or mongodb+srv:// URL of a replica set",
        repr=False,
    )
    mongo_database: str = Field(
        default="abbotik",
        validation_alias="ABBOTIK_MONGO_DATABASE",
        description="1 to 38 letters, digits, '_' or '-'",
        pattern=r"^[A-Za-z0-9_-]{1,38}$",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        validation_alias="ABBOTIK_LOG_LEVEL",
        description="debug, info, warning or error",
    )
    log_format: Literal["json", "console"] = Field(
        default="json", validation_alias="ABBOTIK_LOG_FORMAT", description="json or console"
    )

    @field_validator("nats_url")
    @classmethod
    def _nats_urls(cls, value: str) -> str:
        if not all(url.strip().startswith(_NATS_SCHEMES) for url in value.split(",")):
            raise ValueError("a URL has no scheme that NATS knows")
        return value

    @field_validator("mongo_url")
    @classmethod
    def _mongo_url(cls, value: str) -> str:
        if not value.startswith(_MONGO_SCHEMES):
            raise ValueError("the URL has no scheme that MongoDB knows")
        return value

    @property
    def nats_servers(self) -> list[str]:
        """The URLs of all NATS servers."""
        return [url.strip() for url in self.nats_url.split(",")]

    @classmethod
    def load(cls) -> Self:
        """Read the environment; on faults name each on stderr and end with exit code 1."""
        try:
            return cls()
        except ValidationError as error:
            for line in cls.explain(error):
                print(line, file=sys.stderr)  # noqa: T201 - nobody has configured logs yet
            raise SystemExit(1) from None

    @classmethod
    def explain(cls, error: ValidationError) -> list[str]:
        """Say for each fault: the variable, what is wrong, what it must be; never the value."""
        wanted = {
            str(field.validation_alias): field.description for field in cls.model_fields.values()
        }
        lines: list[str] = []
        for fault in faults(error):
            name = fault["pointer"].strip("/").split("/")[0]
            must = wanted.get(name)
            lines.append(f"{name}: {fault['message']}" + (f"; it must be {must}" if must else ""))
        return lines


class ProvisionSettings(ServiceSettings):
    """What the provision step reads beside that."""

    nats_replicas: Replicas = Field(
        default=1, validation_alias="ABBOTIK_NATS_REPLICAS", description="1, 3 or 5"
    )
