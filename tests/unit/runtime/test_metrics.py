"""Metrics: labels are bounded whatever subjects and rooms there are."""

from __future__ import annotations

import asyncio

import pytest

from abbotik_runtime.metrics import Metrics, family


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("cmd.room.tenant.room.message", "cmd"),
        ("evt.room.tenant.room", "evt"),
        ("_INBOX.abc.def", "other"),
        ("plain", "other"),
        ("", "other"),
    ],
)
def test_family_is_the_first_token_only(subject: str, expected: str) -> None:
    """A subject is counted under its first token; what is none of ours under `other`."""
    assert family(subject) == expected


def test_rooms_make_no_series() -> None:
    """Publishing for a thousand rooms leaves one series per family."""
    metrics = Metrics("sample")
    for room in range(1000):
        metrics.published_core(f"evt.room.tenant.{room}")
        metrics.published_stored(f"cmd.room.tenant.{room}.message", 0.001)
    lines = metrics.exposition().decode().splitlines()
    assert len([line for line in lines if line.startswith("abbotik_published_total{")]) == 2


def test_two_processes_in_one_do_not_collide() -> None:
    """Each Metrics has a registry of its own, so that tests can make as many as they like."""
    Metrics("one")
    Metrics("two")


async def test_tasks_are_those_of_the_loop() -> None:
    """A task more is one more, until it ends; outside of a loop there are none."""
    metrics = Metrics("sample")

    def tasks() -> float:
        return metrics.registry.get_sample_value("abbotik_tasks") or 0.0

    before = tasks()
    task = asyncio.create_task(asyncio.sleep(60))
    assert tasks() == before + 1
    task.cancel()
    await asyncio.wait([task])
    assert tasks() == before
    assert await asyncio.to_thread(tasks) == 0
