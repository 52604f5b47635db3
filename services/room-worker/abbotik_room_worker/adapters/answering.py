"""From what the driver raises to what the ports say."""

from __future__ import annotations

from types import TracebackType

from pymongo.errors import PyMongoError

from abbotik_room_worker.ports import UnavailableError
from abbotik_runtime.log_writer import UnknownOutcomeError

_NO_ANSWER = (PyMongoError, UnknownOutcomeError)


class _Answering:
    """A class and not a generator: it is entered several times for each turn."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, _NO_ANSWER):
            raise UnavailableError(f"MongoDB: {type(error).__name__}") from error


_ANSWERING = _Answering()


def answering() -> _Answering:
    """Turn a failed call of MongoDB into UnavailableError; the cause stays attached."""
    return _ANSWERING
