"""From what the driver raises to what the ports say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import PyMongoError

from abbotik_room_worker.ports import UnavailableError
from abbotik_runtime.log_writer import UnknownOutcomeError
from abbotik_runtime.projector import ProjectionError


@contextmanager
def answering() -> Iterator[None]:
    """Turn a failed call of MongoDB into UnavailableError; the cause stays attached."""
    try:
        yield
    except (PyMongoError, UnknownOutcomeError, ProjectionError) as error:
        raise UnavailableError(f"MongoDB: {type(error).__name__}") from error
