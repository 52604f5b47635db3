"""Loops: they go on whatever happens, and stop when told."""

from __future__ import annotations

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from abbotik_kernel.retry import Backoff
from abbotik_runtime.loops import Loop
from abbotik_runtime.metrics import Metrics
from tests.eventually import eventually

QUICK = Backoff(first=0.001, ceiling=0.001)


async def test_passes_follow_each_other() -> None:
    """A started loop runs its pass at once and again after each interval."""
    done = 0

    async def one_pass() -> None:
        nonlocal done
        done += 1

    loop = Loop("sample", 0.001, one_pass)
    loop.start()
    await eventually(lambda: done >= 3)
    await loop.stop()
    stopped_at = done
    await asyncio.sleep(0)
    assert done == stopped_at


async def test_errors_are_survived_and_counted() -> None:
    """A pass that raises is counted and followed by the next one; a good pass clears the count."""
    outcomes = iter([ValueError("one"), ValueError("two"), None])
    metrics = Metrics("sample")
    good = asyncio.Event()

    async def one_pass() -> None:
        outcome = next(outcomes, None)
        if outcome is not None:
            raise outcome
        good.set()

    loop = Loop("sample", 0.001, one_pass, metrics=metrics, backoff=QUICK)
    loop.start()
    await asyncio.wait_for(good.wait(), 5)
    await eventually(lambda: loop.failures == 0)
    await loop.stop()
    assert b'abbotik_loop_passes_total{loop="sample",outcome="error"} 2.0' in metrics.exposition()


async def test_weather_is_a_line_of_the_log() -> None:
    """A server that is away is named in it; only what nobody expected has a traceback."""
    outcomes = iter([ConnectionError("the server is away"), ValueError("a bug")])

    async def one_pass() -> None:
        raise next(outcomes)

    loop = Loop("sample", 0.001, one_pass, backoff=QUICK, weather=ConnectionError)
    with capture_logs() as lines:
        loop.start()
        await eventually(lambda: loop.failures >= 2)
        await loop.stop()
    away, bug = lines[:2]
    assert (away["log_level"], away["cause"]) == ("warning", "the server is away")
    assert "exc_info" not in away
    assert (bug["log_level"], bug["exc_info"]) == ("error", True)


async def test_a_cancelled_wait_inside_a_pass_does_not_end_the_loop() -> None:
    """A CancelledError that only what the pass waited for has met counts as an error."""
    passes = 0

    async def one_pass() -> None:
        nonlocal passes
        passes += 1
        if passes == 1:
            raise asyncio.CancelledError

    loop = Loop("sample", 0.001, one_pass, backoff=QUICK)
    loop.start()
    await eventually(lambda: passes >= 2)
    await loop.stop()


async def test_errors_make_the_next_pause_longer() -> None:
    """After a failure the loop waits its interval and the back-off on top."""
    times: list[float] = []

    async def one_pass() -> None:
        times.append(time.monotonic())
        raise ValueError("always")

    loop = Loop("sample", 0.001, one_pass, backoff=Backoff(first=0.05, ceiling=0.05), jitter=0)
    loop.start()
    await eventually(lambda: len(times) >= 3)
    await loop.stop()
    assert times[1] - times[0] >= 0.05


async def test_one_pass_at_a_time() -> None:
    """`run_once` beside the loop waits for the pass under way."""
    running = 0
    most = 0

    async def one_pass() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    loop = Loop("sample", 0.001, one_pass)
    loop.start()
    await asyncio.gather(*(loop.run_once() for _ in range(10)))
    await loop.stop()
    assert most == 1


async def test_run_once_lets_the_error_out() -> None:
    """A test that runs one pass sees its error."""

    async def one_pass() -> None:
        raise ValueError("seen")

    with pytest.raises(ValueError, match="seen"):
        await Loop("sample", 1, one_pass).run_once()


async def test_wake_ends_the_pause() -> None:
    """`wake` begins the next pass now, however long the interval is."""
    done = 0

    async def one_pass() -> None:
        nonlocal done
        done += 1

    loop = Loop("sample", 3600, one_pass)
    loop.start()
    await eventually(lambda: done == 1 and loop.passes == 1)
    loop.wake()
    await eventually(lambda: done == 2)
    await loop.stop()


async def test_stop_lets_the_pass_finish() -> None:
    """A pass under way ends by itself within the time that `stop` gives it."""
    begun, go, finished = asyncio.Event(), asyncio.Event(), False

    async def one_pass() -> None:
        nonlocal finished
        begun.set()
        await go.wait()
        finished = True

    loop = Loop("sample", 3600, one_pass)
    loop.start()
    await begun.wait()
    stopping = asyncio.create_task(loop.stop())
    await asyncio.sleep(0)
    go.set()
    await stopping
    assert finished


async def test_stop_cancels_a_pass_that_hangs() -> None:
    """A pass that does not end is cancelled after the time that `stop` was given."""
    begun = asyncio.Event()

    async def one_pass() -> None:
        begun.set()
        await asyncio.Event().wait()

    loop = Loop("sample", 3600, one_pass)
    loop.start()
    await begun.wait()
    async with asyncio.timeout(5):
        await loop.stop(timeout_s=0.01)
