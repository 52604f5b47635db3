"""What one measurement found: its samples as percentiles, its rate, its count."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured thing: milliseconds for p50, p99 and worst, events per second for the rate.

    `value` is for what is neither (MB, kB, s, a p95 in ms). Members that were not measured are 0.
    """

    name: str
    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    per_s: float = 0.0
    value: float = 0.0

    @classmethod
    def of(cls, name: str, seconds: Sequence[float], took_s: float = 0.0) -> Self:
        """Summarize samples given in seconds; `took_s` > 0 adds their rate."""
        ordered = sorted(seconds)
        return cls(
            name=name,
            count=len(ordered),
            p50=percentile(ordered, 0.50) * 1000,
            p99=percentile(ordered, 0.99) * 1000,
            worst=ordered[-1] * 1000,
            per_s=len(ordered) / took_s if took_s else 0.0,
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of an ascending, non-empty sequence."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def report(*findings: Finding) -> None:
    """Print findings as one JSON line, which `bench/run.py` reads from a measuring process."""
    print(json.dumps([asdict(finding) for finding in findings]))


def read(line: str) -> list[Finding]:
    """Return what `report` printed."""
    return [Finding(**found) for found in json.loads(line)]
