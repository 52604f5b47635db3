"""The documents of `docs/`, read once at start: Markdown as it is, HTML made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_SLUG = re.compile(r"[^a-z0-9]+")
_ENTRY = "index"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Abbotik LLM</title>
<link rel="stylesheet" href="/index.css">
</head>
<body>
<nav class="links"><a href="/">Abbotik LLM</a> <a href="/docs">Documentation</a>
<a href="/openapi.json">OpenAPI</a></nav>
<main>
{body}</main>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Document:
    """One page. ``path`` is its name below `/docs`, without `.md`."""

    path: str
    markdown: str

    @property
    def html(self) -> str:
        """The page as HTML."""
        return _rendered(self.markdown)


class Documents:
    """The pages below a folder, and the JSON files beside them, as they were at start.

    Nothing else is ever served, whatever a path says.
    """

    def __init__(self, folder: Path | None) -> None:
        self._pages: dict[str, Document] = {}
        self._data: dict[str, bytes] = {}
        if folder is None:
            return
        for file in sorted(folder.rglob("*.json")):
            self._data[file.relative_to(folder).as_posix()] = file.read_bytes()
        for file in sorted(folder.rglob("*.md")):
            parts = file.relative_to(folder).with_suffix("").parts
            if all(_NAME.fullmatch(part) for part in parts):
                path = "/".join(parts)
                self._pages[path] = Document(path, file.read_text("utf-8"))

    def page(self, path: str) -> Document | None:
        """Return a page by its name, with or without `.md`; the entry for an empty name."""
        name = path.removesuffix(".md") or _ENTRY
        return self._pages.get(name) or self._pages.get(f"{name}/{_ENTRY}")

    def data(self, path: str) -> bytes | None:
        """Return a JSON file by its name; pages link to some."""
        return self._data.get(path)


@cache
def _rendered(markdown: str) -> str:
    # Pages are ours and may hold HTML (anchors, comments); the policy lets none of it run.
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(markdown)
    _anchor(tokens)
    title = next((token.content for token in tokens if token.type == "inline"), "Documentation")
    return _PAGE.format(
        title=escape(title.replace("`", "")),
        body=parser.renderer.render(tokens, parser.options, {}),
    )


def _anchor(tokens: Sequence[Token]) -> None:
    """Give headings an id, made of their text."""
    known: set[str] = set()
    for before, token in pairwise(tokens):
        if before.type != "heading_open" or token.type != "inline":
            continue
        anchor = _NO_SLUG.sub("-", token.content.lower()).strip("-")
        if anchor and anchor not in known:
            known.add(anchor)
            before.attrSet("id", anchor)
