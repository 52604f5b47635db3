"""The public routes: the root, the documents, health, the API's description. No token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from abbotik_gateway.domain.accepts import prefers
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.routes.operation import Endpoint, Operation, Shown
from abbotik_gateway.web.documents import Documents
from abbotik_runtime.health import Health

_PAGES = Path(__file__).parent.parent / "pages"

HTML, MARKDOWN = "text/html", "text/markdown"
# Pages run nothing and load nothing from elsewhere.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_NO_STORE = {"Cache-Control": "no-store"}


class PublicRoutes:
    """The handlers. ``describe`` makes the OpenAPI document, once, when it is first asked for."""

    def __init__(
        self, documents: Documents, health: Health, describe: Callable[[], dict[str, object]]
    ) -> None:
        self._documents = documents
        self._health = health
        self._describe = describe
        self._description: bytes | None = None
        self._files = {
            name: (_PAGES / name).read_bytes() for name in ("index.html", "index.css", "llms.txt")
        }

    async def root(self, _request: Request) -> Response:
        """GET / and /index.html."""
        return Response(self._files["index.html"], headers=PAGE_HEADERS, media_type=HTML)

    async def stylesheet(self, _request: Request) -> Response:
        """GET /index.css."""
        return Response(self._files["index.css"], media_type="text/css")

    async def for_agents(self, _request: Request) -> Response:
        """GET /llms.txt."""
        return Response(self._files["llms.txt"], media_type="text/plain")

    async def document(self, request: Request) -> Response:
        """GET /docs and /docs/…: HTML for whoever asks for it, Markdown for all others."""
        path = request.path_params.get("path", "")
        data = self._documents.data(path)
        if data is not None:
            return Response(data, media_type="application/json")
        page = self._documents.page(path)
        if page is None:
            raise Problem("NOT_FOUND", "There is no such page; see `/docs`.")
        vary = {"Vary": "Accept"}
        if prefers(request.headers.getlist("accept"), HTML):
            return Response(page.html, headers={**PAGE_HEADERS, **vary}, media_type=HTML)
        return Response(page.markdown, headers=vary, media_type=MARKDOWN)

    async def description(self, _request: Request) -> Response:
        """GET /openapi.json."""
        if self._description is None:
            self._description = orjson.dumps(self._describe())
        return Response(self._description, media_type="application/json")

    async def ready(self, _request: Request) -> Response:
        """GET /health and /health/ready."""
        status, body = await self._health.body()
        return JSONResponse(body, status, headers=_NO_STORE)

    async def live(self, _request: Request) -> Response:
        """GET /health/live."""
        return JSONResponse(self._health.live(), headers=_NO_STORE)

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [*self._pages(), *self._health_operations()]

    def _pages(self) -> list[Operation]:
        html, markdown = Shown("The page.", media_type=HTML), Shown("It.", media_type=MARKDOWN)
        return [
            _public("root", ("/", "/index.html"), self.root, "The root page", html),
            _public("stylesheet", ("/index.css",), self.stylesheet, "Its stylesheet",
                    Shown("It.", media_type="text/css")),
            _public("forAgents", ("/llms.txt",), self.for_agents, "The root page for agents",
                    Shown("It.", media_type="text/plain")),
            _public("docs", ("/docs",), self.document, "The documentation", markdown),
            _public("document", ("/docs/{path:path}",), self.document, "One document", markdown,
                    codes=("NOT_FOUND",)),
            _public("description", ("/openapi.json",), self.description, "This description",
                    Shown("An OpenAPI document.", media_type="application/json")),
        ]  # fmt: skip

    def _health_operations(self) -> list[Operation]:
        health = Shown("What the checks say.", "Health")
        unready = {200: health, 503: Shown("Not ready.", "Health")}
        return [
            Operation(
                name="health",
                method="GET",
                paths=("/health", "/health/ready"),
                endpoint=self.ready,
                summary="Readiness, with its reasons",
                answers=unready,
                tag="public",
                needs=None,
            ),
            _public("live", ("/health/live",), self.live, "Liveness", health),
        ]


def _public(
    name: str,
    paths: tuple[str, ...],
    endpoint: Endpoint,
    summary: str,
    shown: Shown,
    codes: tuple[str, ...] = (),
) -> Operation:
    return Operation(
        name=name,
        method="GET",
        paths=paths,
        endpoint=endpoint,
        summary=summary,
        answers={200: shown},
        tag="public",
        needs=None,
        codes=codes,
    )
