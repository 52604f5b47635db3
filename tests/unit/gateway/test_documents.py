"""Documents from a folder."""

from __future__ import annotations

from pathlib import Path

from abbotik_gateway.web.documents import Documents


def test_pages_are_found_by_name(tmp_path: Path) -> None:
    """With or without `.md`, folders by their index, nothing outside the folder."""
    (tmp_path / "docs" / "llm").mkdir(parents=True)
    (tmp_path / "secret.md").write_text("no")
    (tmp_path / "docs" / "index.md").write_text("# Entry")
    (tmp_path / "docs" / "llm" / "room.md").write_text("# Room")
    (tmp_path / "docs" / "llm" / "index.md").write_text("# LLM")
    (tmp_path / "docs" / ".hidden.md").write_text("no")
    (tmp_path / "docs" / "api.json").write_text("{}")
    documents = Documents(tmp_path / "docs")
    found = {path: documents.page(path) for path in ("", "index", "llm/room", "llm/room.md", "llm")}
    assert {path: page.markdown for path, page in found.items() if page} == {
        "": "# Entry",
        "index": "# Entry",
        "llm/room": "# Room",
        "llm/room.md": "# Room",
        "llm": "# LLM",
    }
    for path in ("../secret", ".hidden", "/etc/passwd", "llm/../index", "room", "api.json"):
        assert documents.page(path) is None
    assert documents.data("api.json") == b"{}"
    assert documents.data("../secret.md") is None


def test_html_has_a_title_anchors_and_tables(tmp_path: Path) -> None:
    """Headings get ids made of their text, each once; tables and anchors of a page are kept."""
    text = "# The `Room`\n\n## A b!\n\n## A b!\n\n| x | y |\n|---|---|\n| <a id='Z'></a>1 | 2 |\n"
    (tmp_path / "index.md").write_text(text)
    page = Documents(tmp_path).page("")
    assert page is not None
    assert "<title>The Room · Abbotik LLM</title>" in page.html
    assert page.html.count('<h2 id="a-b">') == 1
    assert "<table>" in page.html
    assert "<a id='Z'></a>" in page.html


def test_no_folder_is_no_documents(tmp_path: Path) -> None:
    """A folder that is not there makes 404s, not a crash."""
    assert Documents(tmp_path / "nope").page("") is None
    assert Documents(None).page("") is None
