"""The one model that every contract derives from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, refuses unknown members, converts nothing silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
