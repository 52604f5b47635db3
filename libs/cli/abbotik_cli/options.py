"""What the environment says about an embedded stack."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from abbotik_cli.fault import Fault

PORT = 9002
HIGHEST_PORT = 65_535
HIGHEST_WORKERS = 64
REPLICAS = range(1, 6, 2)


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of `abbotik up`; None where the embedded server or a made token is wanted."""

    host: str
    port: int
    home: Path
    workers: int
    auth: str
    user_token: str | None
    root_token: str | None
    nats_url: str | None
    nats_replicas: int
    mongo_url: str | None
    database: str


def read(environ: Mapping[str, str]) -> Options:
    """Read the settings; Fault with every wrong one. An empty value counts as absent."""
    faults: list[str] = []
    options = Options(
        host=environ.get("HOST") or "127.0.0.1",
        port=_number(environ, "PORT", PORT, range(HIGHEST_PORT + 1), faults),
        home=Path(environ.get("ABBOTIK_HOME") or ".abbotik").expanduser().resolve(),
        workers=_number(environ, "ABBOTIK_ROOM_WORKERS", 1, range(1, HIGHEST_WORKERS + 1), faults),
        auth=environ.get("ABBOTIK_AUTH") or "dev",
        user_token=environ.get("ABBOTIK_DEV_TOKEN") or None,
        root_token=environ.get("ABBOTIK_DEV_ROOT_TOKEN") or None,
        nats_url=environ.get("ABBOTIK_NATS_URL") or None,
        nats_replicas=_number(environ, "ABBOTIK_NATS_REPLICAS", 1, REPLICAS, faults),
        mongo_url=environ.get("ABBOTIK_MONGO_URL") or None,
        database=environ.get("ABBOTIK_MONGO_DATABASE") or "abbotik",
    )
    # The gateway sees the tokens that are made here as given, so only this place can tell.
    made = not (options.user_token and options.root_token)
    if "dev" in options.auth.split(",") and made and not _is_loopback(options.host):
        faults.append(
            f"HOST={options.host} opens this machine to others, so ABBOTIK_DEV_TOKEN and "
            "ABBOTIK_DEV_ROOT_TOKEN must be given (32 characters or more), "
            "with ABBOTIK_DEV_ALLOW_REMOTE=1"
        )
    if faults:
        raise Fault("; ".join(faults) + ".")
    return options


def _number(
    environ: Mapping[str, str], name: str, default: int, allowed: range, faults: list[str]
) -> int:
    text = environ.get(name) or str(default)
    if text.isascii() and text.isdigit() and int(text) in allowed:
        return int(text)
    few = " or ".join(map(str, allowed))
    must = few if allowed.step > 1 else f"a number from {allowed[0]} to {allowed[-1]}"
    faults.append(f"{name}={text} must be {must}")
    return default


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
