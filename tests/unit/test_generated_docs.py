"""The generated documents say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

GENERATE = Path(__file__).resolve().parents[2] / "docs" / "generate.py"


def test_generated_documents_are_current() -> None:
    """`make docs` would change nothing."""
    spec = importlib.util.spec_from_file_location("generate", GENERATE)
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.stale() == []
