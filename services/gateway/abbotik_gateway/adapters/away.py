"""Driver errors, said in the gateway's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from pymongo.errors import PyMongoError

from abbotik_gateway.ports import UnavailableError

log = structlog.get_logger(__name__)


@contextmanager
def mongo_away() -> Iterator[None]:
    """Turn whatever the driver raises into UnavailableError; its text goes to the log only.

    All of PyMongoError, because the driver raises private subclasses of it too.
    """
    try:
        yield
    except PyMongoError as error:
        log.warning("mongo.failed", cause=type(error).__name__, text=str(error)[:300])
        raise UnavailableError("MongoDB does not answer") from error
