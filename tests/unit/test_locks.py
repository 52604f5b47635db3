"""The locks fit the project and name nothing of the machine that made them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-embedded.lock", "requirements-dev.lock")
# A pinned package with an optional condition, or one of its hashes, or a comment without a path.
LINE = re.compile(
    r"[a-z0-9._-]+(\[[a-z,-]+\])?==[^ /]+( ; [^/]+)? \\"
    r"|    --hash=sha256:[0-9a-f]{64}( \\)?"
    r"|#[^/]*"
)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_pins_and_hashes_alone(name: str) -> None:
    """No index, no address and no path stands in a lock."""
    odd = [line for line in _text(name).splitlines() if not LINE.fullmatch(line)]
    assert odd == []


def test_smaller_locks_are_part_of_the_larger() -> None:
    """One .venv fits all: a version in one lock is the version in every larger one."""
    services, embedded, dev = (_pins(name) for name in LOCKS)
    assert services <= embedded <= dev


def test_every_requirement_is_locked() -> None:
    """A dependency that was added to pyproject.toml is in the lock of its extra (`make lock`)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for lock, wanted in (
        (LOCKS[0], [*project["dependencies"], *extras["gateway"]]),
        (LOCKS[1], extras["embedded"]),
        (LOCKS[2], extras["dev"]),
    ):
        locked = {pin.partition("==")[0] for pin in _pins(lock)}
        names = {_name(requirement) for requirement in wanted} - {"abbotik-llm"}
        assert names <= locked, lock


def _text(name: str) -> str:
    return (ROOT / name).read_text()


def _pins(name: str) -> set[str]:
    return {line.split()[0] for line in _text(name).splitlines() if re.match("[a-z0-9]", line)}


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[._-]+", "-", found[0]).lower()
