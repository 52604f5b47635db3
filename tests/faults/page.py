"""The table of docs/reliability.md, made from the results of all runs."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.faults.faults import CELLS, DISK_CELLS
from tests.faults.history import Record
from tests.stack import ROOT

PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "bench" / "faults"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->"
HEAD = (
    *("fault", "runs", "messages", "lost", "doubled", "out of order", "other violations"),
    *("recovered after, p50", "p95", "max"),
)
HARMS = ("lost", "doubled", "out_of_order")


def table(lines: Iterable[Record]) -> str:
    """Return the table: a row for each cell that was run, in the matrix's order."""
    by_cell: dict[str, list[Record]] = defaultdict(list)
    for line in lines:
        by_cell[line["cell"]].append(line)
    names = [str(cell) for cell in [*CELLS, *DISK_CELLS]]
    rows = [_row(name, by_cell[name]) for name in names if name in by_cell]
    return "\n".join([_cells(HEAD), _cells(["---"] * len(HEAD)), *map(_cells, rows)]) + "\n"


def _row(cell: str, runs: list[Record]) -> list[str]:
    harms = [sum(run[harm] for run in runs) for harm in HARMS]
    violations = sum(len(run["violations"]) for run in runs)
    times = sorted(time for run in runs for time in run["recovery_s"])
    accepted = sum(run["counts"]["accepted"] for run in runs)
    counts = [len(runs), accepted, *harms, violations - sum(harms)]
    return [cell, *map(str, counts), *(_seconds(times, share) for share in (0.5, 0.95, 1.0))]


def _seconds(times: Sequence[float], share: float) -> str:
    """Return the nearest-rank percentile of ascending times."""
    if not times:
        return "-"
    return f"{times[max(0, math.ceil(len(times) * share) - 1)]:.2f} s"


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def refresh() -> None:
    """Put the table of all results into the page, between its markers."""
    lines = [
        json.loads(line)
        for file in sorted(RESULTS.glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    text = PAGE.read_text()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    PAGE.write_text(f"{text[:start]}\n{table(lines)}\n{text[end:]}")
