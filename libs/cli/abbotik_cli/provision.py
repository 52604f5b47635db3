"""The provision step: streams, consumers and indexes, declared once."""

from __future__ import annotations

from abbotik_cli.fault import Fault


async def provision(nats_url: str, mongo_url: str, database: str, replicas: int) -> None:
    """Create what is missing, each stream with its replicas; waits half a minute for the servers.

    Fault when one of them does not answer, or when something exists with other settings.
    """
    # Drivers cost half a second, which the start of the servers hides.
    import nats.errors  # noqa: PLC0415 - see above
    from pymongo.errors import PyMongoError  # noqa: PLC0415 - see above

    from abbotik_runtime import provision as runtime  # noqa: PLC0415 - see above

    try:
        await runtime.provision(nats_url, mongo_url, database, replicas=replicas)
    except runtime.Drift as drift:
        raise Fault(str(drift)) from drift
    except PyMongoError as error:
        raise Fault(_absent("MongoDB", "ABBOTIK_MONGO_URL", error)) from error
    except (OSError, nats.errors.Error) as error:
        raise Fault(_absent("NATS", "ABBOTIK_NATS_URL", error)) from error


def _absent(server: str, variable: str, error: Exception) -> str:
    return (
        f"{server} does not let this be prepared ({type(error).__name__}: {str(error)[:200]}): "
        f"start it, or correct {variable}."
    )
