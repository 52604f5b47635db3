"""Finding a route by one look-up per segment, where Starlette tries pattern after pattern."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.routing import BaseRoute, Route


@dataclass(slots=True)
class _Node:
    """What may follow one beginning of a path; ``routes`` by method are those that end here."""

    literals: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: dict[str, tuple[Route, list[str]]] = field(default_factory=dict)


class Paths:
    """A tree of the routes whose parameters are whole segments; the others it does not know.

    Of a literal segment and a parameter the literal counts, whatever the order of the routes.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._root = _Node()
        for route in routes:
            if isinstance(route, Route) and ":" not in route.path:
                self._add(route)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the route with the values of its parameters, None where it knows none."""
        node = self._root
        values: list[str] = []
        for segment in path.split("/"):
            below = node.literals.get(segment)
            if below is None:
                below = node.parameter
                if below is None or not segment:
                    return None
                values.append(segment)
            node = below
        found = node.routes.get(method)
        if found is None:
            return None
        route, names = found
        return route, dict(zip(names, values, strict=True))

    def _add(self, route: Route) -> None:
        node, names = self._root, list[str]()
        for segment in route.path.split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        for method in route.methods or ():
            node.routes.setdefault(method, (route, names))
