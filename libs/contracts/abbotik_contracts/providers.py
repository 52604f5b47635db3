"""What this version can answer with. Provider settings are data; keys are never here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Provider:
    """A provider of models, as discovery shows it."""

    id: str
    name: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Tool:
    """A built-in tool, as discovery shows it among the skills; an idempotent one may run again."""

    id: str
    name: str
    description: str
    idempotent: bool


SCRIPTED = Provider("scripted", "Scripted (deterministic, keyless)", ("scripted-1",))
PROVIDERS: tuple[Provider, ...] = (SCRIPTED,)

TOOLS: tuple[Tool, ...] = (
    Tool("echo", "Echo", "Returns its arguments as they are.", idempotent=True),
    Tool("fail", "Fail", "Ends with an error, to see how a turn goes on.", idempotent=True),
    Tool("wait", "Wait", "Waits `ms` milliseconds, to see a call under way.", idempotent=True),
)


def provider_named(provider_id: str) -> Provider | None:
    """Return the provider, or None where this installation lacks it."""
    return next((provider for provider in PROVIDERS if provider.id == provider_id), None)
