"""The report: floors, results, and whether the run may claim anything."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.goals import FLOORS, Findings, rows

# When they were read -> over 1, 5 and 15 minutes.
Averages = Mapping[str, tuple[float, float, float]]

APART = 1.25
OFF = 2.5


@dataclass(frozen=True, slots=True)
class Floors:
    """The floors' findings before and after the product's."""

    before: Findings
    after: Findings

    def values(self) -> dict[str, float]:
        """Return the faster value of each floor that was measured."""
        both = ((floor, floor.of(self.before), floor.of(self.after)) for floor in FLOORS)
        return {floor.name: floor.faster(one, two) for floor, one, two in both if one or two}

    def faults(self) -> list[str]:
        """Return what makes the run noisy, as phrases."""
        found = []
        for floor in FLOORS:
            one, two = floor.of(self.before), floor.of(self.after)
            if one and two and max(one, two) > APART * min(one, two):
                found.append(f"{floor.name} changed by {max(one, two) / min(one, two) - 1:.0%}")
            slow = max((floor.off(value) for value in (one, two) if value), default=0.0)
            if slow > OFF:
                found.append(f"{floor.name} is {slow:.1f} times slower than in a quiet hour")
        return found


def line(*cells: str) -> str:
    """Return one line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def grid(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join([line(*head), line(*("---" for _ in head)), *(line(*one) for one in body)])


def floor_table(floors: Floors) -> str:
    """Return the floors, before and after."""
    body = []
    for floor in FLOORS:
        one, two = floor.of(floors.before), floor.of(floors.after)
        if one or two:
            body.append([floor.what, floor.text(one), floor.text(two), floor.text(floor.quiet)])
    return grid(["floor", "before", "after", "quiet"], body)


def result_table(found: Findings, floors: Floors, silenced: str) -> str:
    """Return the product's figures; `silenced` stands in for verdicts that may not be given."""
    body = []
    for row in rows(found, floors.values()):
        figure = "-" if row.figure is None else f"{row.figure:.3g} {row.unit}"
        limits = [row.limit(row.first), row.limit(row.goal)]
        cells = [row.what, row.p50, row.p99, row.floor, figure, *limits]
        body.append([*cells, silenced or row.verdict()])
    head = ["what", "measured, p50", "p99", "floor", "ratio", "first", "goal", "verdict"]
    return grid(head, body)


def memory_table(found: Findings) -> str:
    """Return PSS and USS of each process, "" if they were not measured."""
    names = [name.removesuffix(" PSS") for name in found if name.endswith(" PSS")]
    body = [
        [name, *(f"{found[f'{name} {kind}'].value:.0f} MB" for kind in ("PSS", "USS"))]
        for name in names
    ]
    return grid(["process, idle", "PSS", "USS"], body) if body else ""


def machine() -> str:
    """Return processor, cores, kernel and Python."""
    information = Path("/proc/cpuinfo").read_text()
    models = [one for one in information.splitlines() if one.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    software = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{model}, {os.cpu_count()} cores, {software}"


def load(averages: Averages) -> str:
    """Return the load averages (1, 5, 15 minutes) with when they were read."""
    return "; ".join(
        f"{when} {' '.join(f'{one:.2f}' for one in three)}" for when, three in averages.items()
    )


def report(found: Findings, floors: Floors, averages: Averages, *, full: bool) -> str:
    """Return the whole report as Markdown; one that is not `full` claims nothing."""
    faults = floors.faults()
    silenced = "noisy" if faults else "" if full else "partial"
    parts = [f"{machine()}. Load average: {load(averages)}."]
    if faults:
        parts.append(f"**noisy**, claims nothing: {'; '.join(faults)}.")
    if not full:
        parts.append("**partial**, claims nothing: something was left out, or too few samples.")
    parts += [result_table(found, floors, silenced) if found else "", memory_table(found)]
    parts.append(floor_table(floors) if floors.values() else "")
    return "\n\n".join(part for part in parts if part)
