"""Servers that are given by URL."""

from __future__ import annotations

import pytest

from abbotik_cli import given
from abbotik_cli.fault import Fault
from abbotik_cli.ports import Ports


def test_absent_nats_is_named_without_its_password() -> None:
    """The sentence shows where it looked, and no user or password."""
    port = Ports().take()
    with pytest.raises(Fault) as fault:
        given.look_at_nats(f"nats://user:secret@127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in str(fault.value)
    assert "secret" not in str(fault.value)


@pytest.mark.parametrize("url", ["localhost", "http://localhost", "nats://h:x", "nats://", ""])
def test_bad_nats_url_is_refused(url: str) -> None:
    """What is no NATS URL gets a sentence that shows one."""
    with pytest.raises(Fault, match="nats://host:4222"):
        given.look_at_nats(url)


def test_bad_mongo_url_is_refused() -> None:
    """What is no MongoDB URL is refused, by us or by the driver's parser."""
    with pytest.raises(Fault, match="must begin with mongodb://"):
        given.look_at_mongo("localhost")
    with pytest.raises(Fault, match="not a valid URL"):
        given.look_at_mongo("mongodb://localhost:port")


def test_absent_mongo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is refused in bounded time."""
    monkeypatch.setattr(given, "LOOK_MS", 100)
    with pytest.raises(Fault, match="No MongoDB primary answers"):
        given.look_at_mongo(f"mongodb://127.0.0.1:{Ports().take()}")
