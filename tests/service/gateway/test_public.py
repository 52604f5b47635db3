"""The public routes: pages, documents, health, the description."""

from __future__ import annotations

import pytest

from abbotik_runtime.health import Check
from tests.fakes.gateway_api import GatewayApi


@pytest.mark.parametrize("path", ["/", "/index.html"])
async def test_the_root_is_a_page(api: GatewayApi, path: str) -> None:
    """The landing page is HTML that runs and loads nothing from elsewhere."""
    answer = await api.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script" not in answer.text
    assert "curl" in answer.text


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("/index.css", "text/css", "body"),
        ("/llms.txt", "text/plain", "# Abbotik LLM"),
        ("/openapi.json", "application/json", '"openapi"'),
    ],
)
async def test_files_have_their_type(api: GatewayApi, path: str, kind: str, text: str) -> None:
    """The stylesheet, the page for agents, and the description."""
    answer = await api.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert text in answer.text


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/index", "/docs/architecture", "/docs/llm/room", "/docs/llm/factory.md"]
)
async def test_documents_are_markdown_unless_html_is_asked_for(api: GatewayApi, path: str) -> None:
    """HTML only for `Accept: text/html`, Markdown for all others, never 406."""
    for accept in ("*/*", "application/json", "text/html;q=0", "image/png"):
        answer = await api.client.get(path, headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
        assert answer.text.lstrip().startswith(("#", "<!--"))
    page = await api.client.get(path, headers={"Accept": "text/html,application/xml;q=0.9"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "Accept"
    assert "content-security-policy" in page.headers
    assert "<h1" in page.text


@pytest.mark.parametrize(
    "path",
    ["/docs/nope", "/docs/../README", "/docs/%2e%2e/README", "/docs/a%00b", "/docs/llm/"],
)
async def test_a_document_that_is_not_there_is_404(api: GatewayApi, path: str) -> None:
    """Only what lay in the folder at start is served."""
    answer = await api.client.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "NOT_FOUND")


async def test_links_of_the_entries_lead_somewhere(api: GatewayApi) -> None:
    """Every path that `/`, `/llms.txt` and `/docs` link to answers."""
    for path in ("/", "/llms.txt", "/docs"):
        text = (await api.client.get(path)).text
        links = {part.split(mark)[0] for begin, mark in LINKS for part in text.split(begin)[1:]}
        for link in sorted(link for link in links if link.startswith("/")):
            answer = await api.client.get(link.partition("#")[0])
            assert answer.status_code == 200, f"{path} links to {link}"


LINKS = (('href="', '"'), ("](", ")"))


async def test_headings_can_be_linked_to(api: GatewayApi) -> None:
    """A heading's id is made of its text."""
    page = await api.client.get("/docs/llm/room", headers={"Accept": "text/html"})
    assert 'id="the-event-stream"' in page.text
    assert 'href="/docs/errors"' in page.text


async def test_health_says_what_is_missing(api: GatewayApi) -> None:
    """`/health` and `/health/ready` show the checks, `/health/live` only that we live."""
    green = await api.client.get("/health")
    assert (green.status_code, green.json()["data"]["status"]) == (200, "ok")
    api.health.register("nats", _red("NATS is not connected"))
    api.health._good_until = 0
    for path in ("/health", "/health/ready"):
        red = await api.client.get(path)
        data = red.json()["data"]
        assert (red.status_code, data["status"]) == (503, "unready")
        assert data["checks"]["nats"] == {"ok": False, "detail": "NATS is not connected"}
        assert set(data) == {"status", "timestamp", "uptime", "checks"}
    live = await api.client.get("/health/live")
    assert (live.status_code, live.json()["data"]["status"]) == (200, "ok")


def _red(why: str) -> Check:
    async def check() -> str | None:
        return why

    return check


@pytest.mark.parametrize("family", ["/llm", "/api"])
async def test_discovery_shows_what_is_here(api: GatewayApi, family: str) -> None:
    """Skills, providers and models, the same in both families."""
    skills = (await api.call("GET", f"{family}/skills")).json()["data"]
    assert {"id", "name", "description"} == set(skills[0])
    providers = (await api.call("GET", f"{family}/providers")).json()["data"]
    assert providers[0]["id"] == "scripted"
    models = (await api.call("GET", f"{family}/providers/models")).json()["data"]
    assert models[0] == providers[0]["models"][0]
    assert set(models[0]) == {"id", "provider", "name", "enabled"}
