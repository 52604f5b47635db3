"""A program that is kept running."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to see that it works.

    `env` is the whole environment of the process. `ready` looks once, within about two seconds,
    whether it serves; it may block and is called from any thread. `grace_s` is how long it may
    take to end after SIGTERM. `stuck`, like `ready`, looks whether it runs and nothing but another
    start helps it; None where that cannot be. `batch`: see `tether.command`.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready: Callable[[], bool]
    grace_s: float
    stuck: Callable[[], bool] | None = None
    batch: bool = False
