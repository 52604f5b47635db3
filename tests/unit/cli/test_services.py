"""What each service is told."""

from __future__ import annotations

import sys

import pytest

from abbotik_cli import services
from abbotik_cli.services import Wiring
from abbotik_cli.tokens import Tokens

WIRING = Wiring(
    base={"PATH": "/bin", "ABBOTIK_DEV_ROOT_TOKEN": "inherited", "ABBOTIK_TURN_SLOTS": "8"},
    host="127.0.0.1",
    nats_url="nats://n",
    mongo_url="mongodb://m",
    database="d",
    auth="dev",
    tokens=Tokens("u", "r"),
)


def test_gateway_has_port_and_tokens() -> None:
    """The gateway is told its port, the authority and both tokens."""
    made = services.gateway(WIRING, 9002, 9102)
    assert made.argv == (sys.executable, "-m", "abbotik_gateway")
    wanted = {
        "PORT": "9002",
        "ABBOTIK_METRICS_PORT": "9102",
        "ABBOTIK_AUTH": "dev",
        "ABBOTIK_DEV_TOKEN": "u",
        "ABBOTIK_DEV_ROOT_TOKEN": "r",
        "ABBOTIK_TURN_SLOTS": "8",
    }
    assert wanted.items() <= made.env.items()


@pytest.mark.parametrize("service", services.WORKERS)
def test_no_worker_sees_a_token(service: str) -> None:
    """A token in the environment of the supervisor reaches the gateway alone."""
    made = services.worker(WIRING, service, 9103)
    assert made.argv[-1] == f"abbotik_{service.replace('-', '_')}"
    assert not [name for name in made.env if "TOKEN" in name]


def test_embedded_default_can_be_switched_off() -> None:
    """What the embedded default switches on gives way to the environment."""
    assert services.worker(WIRING, "factory", 1).env["ORGANS_BUILDER_ENABLED"] == "1"
    off = Wiring(
        **{
            **{n: getattr(WIRING, n) for n in WIRING.__slots__},
            "base": {"ORGANS_BUILDER_ENABLED": "0"},
        }
    )
    assert services.worker(off, "factory", 1).env["ORGANS_BUILDER_ENABLED"] == "0"


@pytest.mark.parametrize(
    ("host", "reached"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")],  # noqa: S104 - only written
)
def test_url_reaches_what_is_bound(host: str, reached: str) -> None:
    """A wildcard address is reached over loopback, and version 6 gets its brackets."""
    assert services.url(host, 80) == f"http://{reached}:80"


def test_names_of_several() -> None:
    """The first of several has the plain name."""
    assert services.numbered("room-worker", 3) == ["room-worker", "room-worker-2", "room-worker-3"]


def test_absent_service_is_not_ready() -> None:
    """A refused connection means not ready, not an error."""
    assert not services.serves("http://127.0.0.1:1")
