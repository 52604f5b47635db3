"""What one process uses over time: its memory's slope, and what it has open afterwards."""

import asyncio
import re
from pathlib import Path
from time import monotonic

import httpx

from bench.product.footprint import memory

# PyMongo closes connections that were idle for a minute.
QUIET_S = 120.0
# Growth over all that was measured which is no leak: allocators keep what a peak once took.
FLAT_SHARE = 0.03
STILL_S = 2.0
# Connections of a pool that stay for a while.
SPARE = 8
# No bounds yet: what there is before is not known.
UNKNOWN = 1_000_000


class Usage:
    """Samples of one process; `begin` notes what is open while it is quiet, before them.

    The first third of the samples, while caches and pools fill, does not enter the slope.
    """

    def __init__(self, name: str, pid: int, url: str) -> None:
        self.name = name
        self.url = url
        self._pid = pid
        self._samples: list[tuple[float, float]] = []
        self._before = (UNKNOWN, UNKNOWN)
        self._after = (0, 0)

    def begin(self) -> None:
        """Take what is open now as where it has to come back to."""
        self._before = self._after

    def sample(self) -> None:
        """Note the memory that it has now."""
        self._samples.append((monotonic(), memory(self._pid)[0] / 1024))

    async def look(self) -> tuple[int, int]:
        """Return how many files and tasks it has open, and remember that."""
        self._after = (self._files(), int(await gauge(self.url, "abbotik_tasks")))
        return self._after

    @property
    def back(self) -> bool:
        """Whether no more is open than in the beginning, but for what may stay for a while."""
        return all(
            after <= before + SPARE for before, after in zip(self._before, self._after, strict=True)
        )

    @property
    def flat(self) -> bool:
        """Whether the memory does not grow."""
        kept = self._kept()
        growth = slope(kept) * (kept[-1][0] - kept[0][0])
        return growth <= FLAT_SHARE * sum(size for _, size in kept) / len(kept)

    def __str__(self) -> str:
        kept = self._kept()
        (files, tasks), (files_after, tasks_after) = self._before, self._after
        return (
            f"{self.name}: PSS {self._samples[0][1]:.1f} MB at first, {kept[-1][1]:.1f} at last, "
            f"slope {slope(kept) * 60:+.2f} MB a minute over the last "
            f"{(kept[-1][0] - kept[0][0]) / 60:.1f} min: {'flat' if self.flat else 'GROWS'}; "
            f"files {files} before, {files_after} after, tasks {tasks}, {tasks_after}: "
            f"{'back' if self.back else 'NOT BACK'}"
        )

    def _files(self) -> int:
        return len(list(Path(f"/proc/{self._pid}/fd").iterdir()))

    def _kept(self) -> list[tuple[float, float]]:
        return self._samples[len(self._samples) // 3 :]


def slope(samples: list[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line through (x, y) samples."""
    x0 = sum(x for x, _ in samples) / len(samples)
    y0 = sum(y for _, y in samples) / len(samples)
    spread = sum((x - x0) ** 2 for x, _ in samples)
    return sum((x - x0) * (y - y0) for x, y in samples) / spread if spread else 0.0


async def gauge(url: str, name: str) -> float:
    """Read one series without labels from a process's /metrics; 0 where it is not there."""
    async with httpx.AsyncClient(timeout=20) as http:
        text = (await http.get(f"{url}/metrics")).text
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def quiet(usage: Usage) -> None:
    """Return once nobody follows, and files and tasks are back and do not change; or too late."""
    last, since, until = (0, 0), monotonic(), monotonic() + QUIET_S
    while monotonic() < until and monotonic() - since < STILL_S:
        now = await usage.look()
        followers = await gauge(usage.url, "abbotik_stream_followers")
        if now != last or followers or not usage.back:
            last, since = now, monotonic()
        await asyncio.sleep(0.25)
