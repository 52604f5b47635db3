"""Liveness and readiness of a process, with the reasons, and its metrics, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abbotik_kernel.clock import Clock, SystemClock, rfc3339
from abbotik_runtime import logs
from abbotik_runtime.metrics import Metrics
from abbotik_runtime.uncancelled import begun

_GREEN_S = 1.0
# Whoever waits for a process to become ready should not wait for a cache.
_RED_S = 0.25
_CHECK_S = 2.0
_DETAIL = 300

_log = logs.get("health")

Check = Callable[[], Coroutine[Any, Any, str | None]]


@dataclass(frozen=True, slots=True)
class Report:
    """What the checks said. ``checks`` maps a name to why it is red, "" where it is green."""

    checks: dict[str, str]
    draining: bool

    @property
    def ready(self) -> bool:
        """Whether work may be sent here."""
        return not self.draining and not any(self.checks.values())

    @property
    def status(self) -> str:
        """`ok`, `unready` or `draining`."""
        if self.draining:
            return "draining"
        return "ok" if self.ready else "unready"


class Health:
    """The checks of a process. Their answers are kept for a second, however many ask.

    A check returns None, or a sentence that says what is missing; it may raise, and has 2 s.
    ``draining`` is set by whoever runs the process and makes it unready at once.
    """

    def __init__(self, service: str, metrics: Metrics, clock: Clock | None = None) -> None:
        self.service = service
        self.draining = False
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._began = time.monotonic()
        self._checks: dict[str, Check] = {}
        self._answers: dict[str, str] = {}
        self._good_until = float("-inf")
        self._flight: asyncio.Task[dict[str, str]] | None = None
        self._was_ready: bool | None = None

    def register(self, name: str, check: Check) -> None:
        """Add a check; the name appears in answers and metrics."""
        self._checks[name] = check

    async def report(self) -> Report:
        """Return what the checks say, at most a second old."""
        if time.monotonic() >= self._good_until:
            if self._flight is None:
                self._flight = asyncio.get_running_loop().create_task(self._ask_all())
            # Shielded: the one who asked first may go away, the others still wait for it.
            await asyncio.shield(self._flight)
        return Report(dict(self._answers), self.draining)

    async def watch(self) -> None:
        """Look once and log a change: `ready` the first time, then `unready`, `ready_again`."""
        report = await self.report()
        if report.ready == self._was_ready:
            return
        if report.ready:
            _log.info("ready" if self._was_ready is None else "ready_again")
        elif self._was_ready is not None and not report.draining:
            red = {name: why for name, why in report.checks.items() if why}
            _log.warning("unready", checks=red)
        if report.ready or self._was_ready is not None:
            self._was_ready = report.ready

    async def body(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the enveloped body of `/health/ready`."""
        report = await self.report()
        checks = {name: {"ok": not why, "detail": why} for name, why in report.checks.items()}
        return (200 if report.ready else 503), self._envelope(report.status, checks)

    def live(self) -> dict[str, Any]:
        """Return the enveloped body of `/health/live`: the process answers, and no more."""
        return self._envelope("ok", {})

    def app(self) -> Starlette:
        """Return the application that serves `/health`, `/health/live|ready` and `/metrics`."""
        return Starlette(
            routes=[
                Route("/health", self._serve_ready),
                Route("/health/ready", self._serve_ready),
                Route("/health/live", self._serve_live),
                Route("/metrics", self._serve_metrics),
            ]
        )

    async def _ask_all(self) -> dict[str, str]:
        try:
            names = list(self._checks)
            answers = await asyncio.gather(*(_ask(self._checks[name]) for name in names))
            self._answers = dict(zip(names, answers, strict=True))
            kept = _RED_S if any(answers) else _GREEN_S
            self._good_until = time.monotonic() + kept
            for name, why in self._answers.items():
                self._metrics.check.labels(name).set(0 if why else 1)
            return self._answers
        finally:
            self._flight = None

    def _envelope(self, status: str, checks: dict[str, Any]) -> dict[str, Any]:
        return {
            "success": True,
            "data": {
                "status": status,
                "timestamp": rfc3339(self._clock.now_ms()),
                "uptime": round(time.monotonic() - self._began, 3),
                "checks": checks,
            },
        }

    async def _serve_ready(self, _request: Request) -> Response:
        status, body = await self.body()
        return JSONResponse(body, status, headers={"cache-control": "no-store"})

    async def _serve_live(self, _request: Request) -> Response:
        return JSONResponse(self.live(), headers={"cache-control": "no-store"})

    async def _serve_metrics(self, _request: Request) -> Response:
        return Response(self._metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


async def _ask(check: Check) -> str:
    try:
        asked = begun(check())
        await asyncio.wait([asked], timeout=_CHECK_S)
        why = asked.result() if asked.done() else f"no answer within {_CHECK_S:g} s"
    except Exception as error:  # noqa: BLE001 - whatever a check raises, it is its answer
        # Only the kind: texts of drivers name hosts, and this answer is public at the gateway.
        return type(error).__name__
    return (why or "")[:_DETAIL]
