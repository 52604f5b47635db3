"""Worker sessions: one document per process start, renewed every second on the server's clock."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import structlog
from pymongo import ReturnDocument, timeout
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from abbotik_kernel.clock import CorrectedClock, elapsed_s
from abbotik_room_worker.adapters.answering import answering
from abbotik_room_worker.ports import DeadSession, UnavailableError
from abbotik_room_worker.progress import Progress

log = structlog.get_logger(__name__)

WORKERS = "workers"
RENEW_S = 1.0
EXPIRY_S = 3.0
_RENEWAL_TIMEOUT_S = 2.0
# Longer between two renewals tells of a database that was away, for the others as well: half a
# second above the usual, and below the shortest election.
_GAP_S = 1.6
# An answer that took longer, while there was no primary for example, tells the time badly. After so
# many of them the link is slow, and there is no better time to be had.
_SURE_S = 0.5
_UNSURE = 5
_EXPIRED = {"$expr": {"$lt": ["$expires_at", "$$NOW"]}}
# Above every counter: nothing is owed.
_ALL = 2**62


class MongoSessions:
    """The session of this process, and who else has gone silent.

    Liveness only: what a session may still write is decided by the log, by lease and epoch.
    From each renewal the clock learns the server's time; ``begun`` is set once it knows it well.
    ``lapses`` counts the renewals that came after others may have declared this session dead.
    """

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        session: str,
        progress: Progress,
        clock: CorrectedClock,
    ) -> None:
        self.begun = asyncio.Event()
        self.lapses = 0
        self._clock = clock
        self._workers = database[WORKERS]
        self._session = session
        self._progress = progress
        self._host = f"{socket.gethostname()}, process {os.getpid()}"
        self._good_until = 0.0
        self._heard_at = 0.0
        self._answers = 0
        self._unbroken_since: float | None = None

    @property
    def live(self) -> bool:
        """Say whether this session cannot have been declared dead yet, as far as time tells."""
        return elapsed_s() < self._good_until

    @property
    def _in_touch(self) -> bool:
        """Say whether renewals followed each other without a gap for a full expiry, until now."""
        now, since = elapsed_s(), self._unbroken_since
        unbroken = since is not None and now - since >= EXPIRY_S
        return unbroken and self.live and now - self._heard_at <= _GAP_S

    async def renew(self) -> None:
        """Say that this process lives, and how far its commits are projected; hear the time.

        Counts from before it was sent. Raises UnavailableError.
        """
        sent, asked_ms = elapsed_s(), self._clock.passed_ms()
        expiry_ms = int(EXPIRY_S * 1000)
        fields = {
            "renewed_at": "$$NOW",
            "expires_at": {"$add": ["$$NOW", expiry_ms]},
            "projected_through": self._progress.through,
            "projection_age_ms": round(self._progress.age_s * 1000),
            # For `abbotik doctor`: whose clock is wrong, and where to find it. What was heard with
            # earlier renewals: how long this one is on its way says nothing of a clock.
            "host": {"$literal": self._host},
            "clock_off_ms": self._clock.ahead_ms,
        }
        try:
            with timeout(_RENEWAL_TIMEOUT_S):
                renewed = await self._workers.find_one_and_update(
                    {"_id": self._session},
                    [{"$set": fields}],
                    {"_id": 0, "renewed_at": 1},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
        except DuplicateKeyError:
            # Two upserts of one document raced: the other was a renewal of ours that came late.
            log.debug("session.renewal_doubled")
        except PyMongoError as error:
            self._unbroken_since = None
            raise UnavailableError(f"MongoDB: {type(error).__name__}") from error
        else:
            self._clock.correct(_ms(cast("dict[str, Any]", renewed)["renewed_at"]), asked_ms)
            self._begin(took_s=elapsed_s() - sent)
        heard = elapsed_s()
        gap = heard - self._heard_at > _GAP_S or sent >= self._good_until
        if gap or self._unbroken_since is None:
            self._unbroken_since = heard
        self._heard_at = heard
        self.lapses += heard >= self._good_until
        self._good_until = sent + EXPIRY_S

    def _begin(self, took_s: float) -> None:
        if self.begun.is_set():
            return
        self._answers += 1
        if took_s <= _SURE_S or self._answers == _UNSURE:
            log.info("session.begun", session=self._session)
            self.begun.set()

    async def dead(self, holders: Sequence[str] = ()) -> list[DeadSession]:
        """Return sessions that have expired, and holders without a session.

        A worker that was buried while a claim of it was on its way leaves such a holder; all that
        it owed was settled then. None while this worker was itself out of touch within the last
        expiry: a failover of MongoDB must not look like everybody's death.
        """
        if not self._in_touch:
            return []
        expired = {"_id": {"$ne": self._session}, **_EXPIRED}
        try:
            found = [
                DeadSession(worker["_id"], worker["projected_through"])
                async for worker in self._workers.find(expired, limit=64)
            ]
            known = self._workers.find({"_id": {"$in": list(holders)}}, {"_id": 1})
            buried = set(holders) - {worker["_id"] async for worker in known}
        except PyMongoError as error:
            raise UnavailableError(f"MongoDB: {type(error).__name__}") from error
        found += [DeadSession(session, _ALL) for session in sorted(buried)]
        # The answers may have waited for the next primary, as others' renewals do still.
        return found if self._in_touch else []

    async def forget(self, session: str) -> None:
        """Remove a dead session; one that was renewed meanwhile stays."""
        with answering():
            await self._workers.delete_one({"_id": session, **_EXPIRED})

    async def end(self) -> None:
        """Let others see at once that this process is gone."""
        try:
            await self._workers.update_one(
                {"_id": self._session},
                [
                    {
                        "$set": {
                            "expires_at": "$$NOW",
                            "projected_through": self._progress.through,
                        }
                    }
                ],
            )
        except PyMongoError as error:
            log.warning("session.not_ended", error=type(error).__name__)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
