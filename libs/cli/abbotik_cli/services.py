"""The four services as programs."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from abbotik_cli.program import Program
from abbotik_cli.tokens import Tokens

GATEWAY = "gateway"
# Every other service; with the gateway in front also the order of their metrics ports.
WORKERS = ("room-worker", "factory", "verifier")
METRICS_PORTS = {GATEWAY: 9102, "room-worker": 9103, "factory": 9104, "verifier": 9105}
GATEWAY_GRACE_S = 2.5
WORKER_GRACE_S = 3.5
LOOK_S = 2.0
TOKEN_NAMES = ("ABBOTIK_DEV_TOKEN", "ABBOTIK_DEV_ROOT_TOKEN")
# What the embedded default switches on beyond the services' own defaults.
EMBEDDED = {"FACTORY_ADAPTER_ENABLED": "1", "ORGANS_BUILDER_ENABLED": "1"}


@dataclass(frozen=True, slots=True)
class Wiring:
    """What every service of one stack is told. `base` is the environment that they inherit."""

    base: Mapping[str, str]
    host: str
    nats_url: str
    mongo_url: str
    database: str
    auth: str
    tokens: Tokens


def gateway(wiring: Wiring, port: int, metrics_port: int, name: str = GATEWAY) -> Program:
    """Return a gateway that serves on `port`; it alone is given the tokens."""
    env = _env(wiring, metrics_port) | {
        "PORT": str(port),
        "ABBOTIK_AUTH": wiring.auth,
        "ABBOTIK_DEV_TOKEN": wiring.tokens.user,
        "ABBOTIK_DEV_ROOT_TOKEN": wiring.tokens.root,
    }
    return _program(GATEWAY, name, env, url(wiring.host, port), GATEWAY_GRACE_S)


def worker(wiring: Wiring, service: str, metrics_port: int, name: str = "") -> Program:
    """Return a process of one of WORKERS."""
    env = _env(wiring, metrics_port)
    return _program(service, name or service, env, url(wiring.host, metrics_port), WORKER_GRACE_S)


def numbered(name: str, count: int) -> list[str]:
    """Return names for `count` processes of one service: `name`, `name-2`, `name-3`."""
    return [name if index == 1 else f"{name}-{index}" for index in range(1, count + 1)]


def url(host: str, port: int) -> str:
    """Return the URL under which this machine reaches what is bound to `host` and `port`."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def serves(base_url: str) -> bool:
    """Whether the service behind this URL calls itself ready."""
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=LOOK_S)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _program(
    service: str, name: str, env: Mapping[str, str], base_url: str, grace_s: float
) -> Program:
    module = f"abbotik_{service.replace('-', '_')}"
    return Program(
        name=name,
        argv=(sys.executable, "-m", module),
        env=env,
        ready=partial(serves, base_url),
        grace_s=grace_s,
    )


def _env(wiring: Wiring, metrics_port: int) -> dict[str, str]:
    inherited = {name: value for name, value in wiring.base.items() if name not in TOKEN_NAMES}
    return (
        EMBEDDED
        | inherited
        | {
            "HOST": wiring.host,
            "ABBOTIK_METRICS_PORT": str(metrics_port),
            "ABBOTIK_NATS_URL": wiring.nats_url,
            "ABBOTIK_MONGO_URL": wiring.mongo_url,
            "ABBOTIK_MONGO_DATABASE": wiring.database,
        }
    )
