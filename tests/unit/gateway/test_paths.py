"""The table of paths finds what the router would find."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.routing import Match, Route

from abbotik_gateway.api import Ports, RoutedApp, _routed
from abbotik_gateway.web.paths import Paths

_SEGMENTS = ("x", "room", "messages", "events", "turns", "ticket", "%2F", "a\n")


@pytest.fixture(scope="module")
def app() -> RoutedApp:
    """Return the application; no route of it is called."""
    absent: Any = None
    return _routed(Ports(**dict.fromkeys(Ports.__slots__, absent)))


def _routed_by_patterns(app: RoutedApp, method: str, path: str) -> tuple[Any, Any] | None:
    scope = {"type": "http", "method": method, "path": path, "root_path": ""}
    for route in app.routes:
        match, child = route.matches(dict(scope))
        if match is Match.FULL:
            return route, child["path_params"]
    return None


@pytest.mark.parametrize("segment", _SEGMENTS)
def test_every_path_leads_where_the_router_leads(app: RoutedApp, segment: str) -> None:
    """Route and parameters are the same; what is left to the router has a `:path` parameter."""
    for pattern in [str(getattr(route, "path", "")) for route in app.routes]:
        path = re.sub(r"\{[^}]*\}", segment, pattern)
        for method in ("GET", "POST", "PATCH", "DELETE"):
            found, wanted = app.paths.find(method, path), _routed_by_patterns(app, method, path)
            if found is None:
                assert wanted is None or ":path" in wanted[0].path
            else:
                assert found == wanted


@pytest.mark.parametrize(
    "path", ["/llm/room/", "/llm/room//messages", "llm/room", "/llm/room/x/messages/", "", "/nope"]
)
def test_other_paths_lead_nowhere(app: RoutedApp, path: str) -> None:
    """An empty segment is no parameter, and nothing is added to a path or taken from it."""
    assert app.paths.find("GET", path) is None


def test_parameters_have_their_route_s_own_names() -> None:
    """Two routes may call the same place differently."""

    def endpoint() -> None:
        raise NotImplementedError

    read = Route("/things/{thing}", endpoint, methods=["GET"])
    write = Route("/things/{id}", endpoint, methods=["POST"])
    paths = Paths([read, write])
    assert paths.find("GET", "/things/7") == (read, {"thing": "7"})
    assert paths.find("POST", "/things/7") == (write, {"id": "7"})
