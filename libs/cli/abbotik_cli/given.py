"""Looks at servers that are given by their URLs instead of being started here."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from abbotik_cli import nats_server
from abbotik_cli.fault import Fault

NATS_PORT = 4222
NATS_SCHEMES = ("nats", "tls")
LOOK_MS = 3000


def look_at_nats(urls: str) -> None:
    """Fault when none of the comma-separated URLs leads to a NATS server."""
    addresses = [_nats_address(url.strip()) for url in urls.split(",")]
    if not any(nats_server.answers(*address) for address in addresses):
        # Without what stands before an @: it may be a password.
        where = ", ".join(f"{host}:{port}" for host, port in addresses)
        raise Fault(f"No NATS server answers at {where}: start it, or correct ABBOTIK_NATS_URL.")


def look_at_mongo(url: str) -> None:
    """Fault when the URL does not lead to the primary of a replica set."""
    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise Fault("ABBOTIK_MONGO_URL must begin with mongodb:// or mongodb+srv://.")
    from pymongo import MongoClient  # noqa: PLC0415 - costs 0.1 s and most starts need no look
    from pymongo.errors import InvalidURI, PyMongoError  # noqa: PLC0415 - the same

    try:
        with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=LOOK_MS) as client:
            hello = client.admin.command("hello")
    except (InvalidURI, ValueError) as error:
        # Without the driver's text: it may quote a part of the password.
        raise Fault(
            "ABBOTIK_MONGO_URL is not a valid URL: percent-encode its user name and password."
        ) from error
    except PyMongoError as error:
        raise Fault(
            "No MongoDB primary answers at ABBOTIK_MONGO_URL "
            f"({type(error).__name__}): start it, or correct the URL."
        ) from error
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise Fault(
            "The MongoDB at ABBOTIK_MONGO_URL is no replica set, which change streams and "
            "transactions need: start it with --replSet and initiate it, also as a set of one."
        )


def _nats_address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        if parts.scheme in NATS_SCHEMES and parts.hostname:
            return parts.hostname, parts.port or NATS_PORT
    except ValueError:
        # The port is no number; the sentence below holds for that too.
        pass
    raise Fault(
        "ABBOTIK_NATS_URL must be one or more URLs like nats://host:4222 with commas between them."
    )
