"""The servers that an operator's verb speaks to: those of the settings, else the embedded ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats.errors
from pymongo.errors import PyMongoError

from abbotik_cli import run_file
from abbotik_cli.fault import Fault
from abbotik_runtime import mongo
from abbotik_runtime.bus import Bus, BusUnavailable
from abbotik_runtime.settings import ServiceSettings

CONNECT_S = 5.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment's bus and database."""

    bus: Bus
    client: mongo.Client
    database: mongo.Database


@asynccontextmanager
async def connected(service: str = "operator") -> AsyncIterator[Deployment]:
    """Connect to both servers; Fault where one does not answer, then or meanwhile."""
    settings = settings_of(os.environ)
    bus, client = Bus(settings, service), mongo.connect(settings, service)
    try:
        async with asyncio.timeout(CONNECT_S):
            await bus.connect()
        await mongo.ping(client)
        yield Deployment(bus, client, mongo.database(client, settings))
    except TimeoutError as error:
        raise Fault("NATS does not answer: start it, or correct ABBOTIK_NATS_URL.") from error
    except (BusUnavailable, nats.errors.Error) as error:
        raise Fault(
            f"NATS did not do it ({type(error).__name__}: {error}): run `abbotik doctor`."
        ) from error
    except PyMongoError as error:
        raise Fault(
            f"MongoDB does not answer ({type(error).__name__}): "
            "start it, or correct ABBOTIK_MONGO_URL."
        ) from error
    finally:
        await bus.close()
        await client.close()


def settings_of(environ: Mapping[str, str]) -> ServiceSettings:
    """Read the settings; a server that they do not name is the one that `abbotik up` runs here."""
    settings = ServiceSettings.load()
    home = Path(environ.get("ABBOTIK_HOME") or ".abbotik").expanduser()
    urls = run_file.read(home / "run.json").urls
    embedded = {
        field: urls[name]
        for name, field, variable in (
            ("nats", "nats_url", "ABBOTIK_NATS_URL"),
            ("mongo", "mongo_url", "ABBOTIK_MONGO_URL"),
        )
        if name in urls and not environ.get(variable)
    }
    return settings.model_copy(update=embedded)
