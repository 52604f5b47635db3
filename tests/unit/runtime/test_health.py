"""Health: checks are bounded, cached and asked once for many; draining is unready."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from abbotik_runtime import health as module
from abbotik_runtime.health import Health
from abbotik_runtime.metrics import Metrics


class Sample:
    """A check whose answer the test sets."""

    def __init__(self) -> None:
        self.why: str | None = None
        self.asked = 0

    async def check(self) -> str | None:
        """Answer what was set."""
        self.asked += 1
        await asyncio.sleep(0)
        return self.why


def _health(sample: Sample) -> Health:
    health = Health("sample", Metrics("sample"))
    health.register("thing", sample.check)
    return health


async def _get(health: Health, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(health.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://sample") as client:
        return await client.get(path)


async def test_ready_says_what_was_checked() -> None:
    """A ready process answers 200 with the enveloped status, time, uptime and checks."""
    answer = await _get(_health(Sample()), "/health/ready")
    body: dict[str, Any] = answer.json()
    assert answer.status_code == 200
    assert body["success"] is True
    assert body["data"]["status"] == "ok"
    assert body["data"]["checks"] == {"thing": {"ok": True, "detail": ""}}
    assert body["data"]["timestamp"].endswith("Z")
    assert body["data"]["uptime"] >= 0


async def test_a_red_check_makes_it_unready() -> None:
    """One red check is a 503 that names the check and its reason."""
    sample = Sample()
    sample.why = "stream TURNS is missing"
    answer = await _get(_health(sample), "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["data"]["status"] == "unready"
    assert answer.json()["data"]["checks"]["thing"] == {
        "ok": False,
        "detail": "stream TURNS is missing",
    }


async def test_a_check_that_is_late_is_red_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is cancelled while it looks for a server may answer nobody any more."""
    monkeypatch.setattr(module, "_CHECK_S", 0.05)
    back, heard = asyncio.Event(), asyncio.Event()

    async def check() -> None:
        await back.wait()
        heard.set()

    health = Health("sample", Metrics("sample"))
    health.register("thing", check)
    answer = await _get(health, "/health/ready")
    assert answer.json()["data"]["checks"]["thing"]["detail"] == "no answer within 0.05 s"
    back.set()
    await asyncio.wait_for(heard.wait(), 5)


async def test_live_is_green_while_unready() -> None:
    """Liveness asks no check: a process that waits for its servers must not be restarted."""
    sample = Sample()
    sample.why = "away"
    answer = await _get(_health(sample), "/health/live")
    assert answer.status_code == 200
    assert sample.asked == 0


async def test_draining_is_unready_at_once() -> None:
    """Draining answers 503 although all checks are green and cached."""
    health = _health(Sample())
    assert (await health.report()).ready
    health.draining = True
    status, body = await health.body()
    assert (status, body["data"]["status"]) == (503, "draining")


async def test_many_askers_cost_one_check() -> None:
    """Askers at the same moment, and within a second after, share one answer."""
    sample = Sample()
    health = _health(sample)
    await asyncio.gather(*(health.report() for _ in range(50)))
    await health.report()
    assert sample.asked == 1


async def test_an_asker_who_leaves_does_not_fail_the_others() -> None:
    """The first asker's cancellation leaves the shared check running."""
    health = _health(Sample())
    first = asyncio.create_task(health.report())
    second = asyncio.create_task(health.report())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).ready


async def test_a_check_that_hangs_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check has a bounded time and is red when it takes longer."""
    monkeypatch.setattr(module, "_CHECK_S", 0.01)
    health = Health("sample", Metrics("sample"))

    async def hang() -> str | None:
        await asyncio.Event().wait()
        return None

    health.register("thing", hang)
    assert "no answer" in (await health.report()).checks["thing"]


async def test_a_check_that_raises_shows_only_the_kind_of_error() -> None:
    """Error texts name hosts and may quote URLs; the answer is public and has the class only."""
    health = Health("sample", Metrics("sample"))

    async def fail() -> str | None:
        raise ConnectionError("mongodb://user:canary@host")

    health.register("thing", fail)
    assert (await health.report()).checks == {"thing": "ConnectionError"}


async def test_metrics_show_checks() -> None:
    """`/metrics` is Prometheus text, with a gauge per check."""
    sample = Sample()
    sample.why = "away"
    health = _health(sample)
    await health.report()
    answer = await _get(health, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'abbotik_check{check="thing"} 0.0' in answer.text
