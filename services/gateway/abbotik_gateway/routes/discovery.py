"""Discovery: what this installation can answer with."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from abbotik_contracts.providers import PROVIDERS, TOOLS, Provider
from abbotik_contracts.room_log import Record
from abbotik_gateway.routes.operation import Operation, Shown, discovery_paths
from abbotik_gateway.web.answers import enveloped
from abbotik_gateway.web.gate import Gate


def _model(provider: Provider, name: str) -> Record:
    return {"id": name, "provider": provider.id, "name": name, "enabled": True}


def _models(provider: Provider) -> list[Record]:
    return [_model(provider, name) for name in provider.models]


_SKILLS: list[Record] = [
    {"id": tool.id, "name": tool.name, "description": tool.description} for tool in TOOLS
]
_PROVIDERS: list[Record] = [
    {"id": one.id, "name": one.name, "enabled": True, "models": [*_models(one)]}
    for one in PROVIDERS
]
_MODELS: list[Record] = [model for one in PROVIDERS for model in _models(one)]


@dataclass(frozen=True, slots=True)
class DiscoveryRoutes:
    """The handlers of discovery, and of who the caller is."""

    gate: Gate

    async def skills(self, request: Request) -> Response:
        """GET /llm/skills."""
        await self.gate.caller_of(request, "read")
        return enveloped(_SKILLS)

    async def providers(self, request: Request) -> Response:
        """GET /llm/providers."""
        await self.gate.caller_of(request, "read")
        return enveloped(_PROVIDERS)

    async def models(self, request: Request) -> Response:
        """GET /llm/providers/models."""
        await self.gate.caller_of(request, "read")
        return enveloped(_MODELS)

    async def introspect(self, request: Request) -> Response:
        """GET /api/user/introspect."""
        caller = await self.gate.caller_of(request, "read")
        return enveloped(caller.record())

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation(
                name="listSkills",
                method="GET",
                paths=discovery_paths("/skills"),
                endpoint=self.skills,
                summary="Tools that a room's actors may use",
                answers={200: Shown("The skills.", "Skill", "array")},
                tag="discovery",
            ),
            Operation(
                name="listProviders",
                method="GET",
                paths=discovery_paths("/providers"),
                endpoint=self.providers,
                summary="Providers that are set up here",
                answers={200: Shown("The providers.", "Provider", "array")},
                tag="discovery",
            ),
            Operation(
                name="listModels",
                method="GET",
                paths=discovery_paths("/providers/models"),
                endpoint=self.models,
                summary="Models of all providers",
                answers={200: Shown("The models.", "Model", "array")},
                tag="discovery",
            ),
            Operation(
                name="introspect",
                method="GET",
                paths=("/api/user/introspect",),
                endpoint=self.introspect,
                summary="Who the token belongs to",
                answers={200: Shown("The caller.", "Introspection")},
                tag="account",
            ),
        ]
