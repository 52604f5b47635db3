"""The environment of `abbotik up`."""

from __future__ import annotations

from pathlib import Path

import pytest

from abbotik_cli import options
from abbotik_cli.fault import Fault


def test_defaults() -> None:
    """An empty environment means loopback, port 9002, one worker and servers of our own."""
    read = options.read({"PORT": "", "ABBOTIK_NATS_URL": ""})
    assert (read.host, read.port, read.workers, read.auth) == ("127.0.0.1", 9002, 1, "dev")
    assert (read.nats_url, read.mongo_url, read.user_token) == (None, None, None)
    assert read.home == Path(".abbotik").resolve()


def test_every_fault_is_named_at_once() -> None:
    """Wrong values give one text that names each."""
    with pytest.raises(Fault) as fault:
        options.read(
            {"PORT": "70000", "ABBOTIK_ROOM_WORKERS": "none", "ABBOTIK_NATS_REPLICAS": "2"}
        )
    assert "PORT=70000" in str(fault.value)
    assert "ABBOTIK_ROOM_WORKERS=none" in str(fault.value)
    assert "ABBOTIK_NATS_REPLICAS=2 must be 1 or 3 or 5" in str(fault.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - refused
def test_made_tokens_stay_on_loopback(host: str) -> None:
    """Off loopback both tokens must be given, because the gateway cannot tell who made them."""
    with pytest.raises(Fault, match="ABBOTIK_DEV_ROOT_TOKEN"):
        options.read({"HOST": host, "ABBOTIK_DEV_TOKEN": "t"})
    given = {"HOST": host, "ABBOTIK_DEV_TOKEN": "t", "ABBOTIK_DEV_ROOT_TOKEN": "r"}
    assert options.read(given).host == host
    assert options.read({"HOST": host, "ABBOTIK_AUTH": "introspect"}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_tokens(host: str) -> None:
    """On loopback tokens are made."""
    assert options.read({"HOST": host}).user_token is None
