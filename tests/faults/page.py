"""The tables of docs/reliability.md, made from the results of all runs and all kills."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.faults.faults import AWAY_CELLS, CELLS, CLUSTERED_CELLS, DISK_CELLS
from tests.faults.history import Record
from tests.stack import ROOT

PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "bench" / "faults"
RUNS, KILLS = "[0-9]*.jsonl", "kills-*.jsonl"
HEAD = (
    *("fault", "runs", "messages", "lost", "doubled", "out of order", "other violations"),
    *("recovered after, p50", "p95", "max"),
)
KILLS_HEAD = (
    *("load average", "kills", "portions", "messages", "events", "takeovers", "not taken over"),
    *("lost", "doubled", "out of order", "other violations", "takeover p50", "p95", "max"),
)
# Four for each of two cores.
CALM = 8
HARMS = ("lost", "doubled", "out_of_order")


def table(lines: Iterable[Record]) -> str:
    """Return the table: a row for each cell that was run, in the matrix's order."""
    by_cell: dict[str, list[Record]] = defaultdict(list)
    for line in lines:
        by_cell[line["cell"]].append(line)
    names = [str(cell) for cell in [*CELLS, *CLUSTERED_CELLS, *DISK_CELLS, *AWAY_CELLS]]
    return _drawn(HEAD, [_row(name, by_cell[name]) for name in names if name in by_cell])


def kills_table(lines: Sequence[Record]) -> str:
    """Return the table of all kills, and of those while the machine was not crowded."""
    calm = [line for line in lines if line["portion"]["load_average"] < CALM]
    rows = [_kills_row("any", lines), _kills_row(f"below {CALM}", calm)]
    return _drawn(KILLS_HEAD, rows)


def violations_of(kills: Sequence[Record]) -> int:
    """Return how many violations there were in the portions of these kills."""
    return sum(len(portion["violations"]) for portion in _portions(kills))


def percentile(kills: Sequence[Record], share: float) -> float:
    """Return the nearest-rank percentile of their takeovers in seconds, 0 where none was."""
    return _ranked(sorted(time for line in kills for time in line["takeover_s"]), share)


def _portions(kills: Sequence[Record]) -> list[Record]:
    # Each line repeats what its whole portion came to.
    found = {(line["seed"], line["portion"]["began"]): line["portion"] for line in kills}
    return list(found.values())


def _kills_row(which: str, lines: Sequence[Record]) -> list[str]:
    portions = _portions(lines)
    times = sorted(time for line in lines for time in line["takeover_s"])
    held = sum(line["held"] for line in lines)
    counted = [
        sum(portion[what] for portion in portions) for what in ("messages", "events", *HARMS)
    ]
    others = violations_of(lines) - sum(counted[2:])
    numbers = [len(lines), len(portions), *counted[:2], len(times), held - len(times)]
    return [which, *map(str, [*numbers, *counted[2:], others]), *_percentiles(times)]


def _row(cell: str, runs: list[Record]) -> list[str]:
    harms = [sum(run[harm] for run in runs) for harm in HARMS]
    violations = sum(len(run["violations"]) for run in runs)
    times = sorted(time for run in runs for time in run["recovery_s"])
    accepted = sum(run["counts"]["accepted"] for run in runs)
    counts = [len(runs), accepted, *harms, violations - sum(harms)]
    return [cell, *map(str, counts), *_percentiles(times)]


def _percentiles(times: Sequence[float]) -> list[str]:
    return [_seconds(times, share) for share in (0.5, 0.95, 1.0)]


def _seconds(times: Sequence[float], share: float) -> str:
    return f"{_ranked(times, share):.2f} s" if times else "-"


def _ranked(times: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of ascending times, 0 where there are none."""
    return times[max(0, math.ceil(len(times) * share) - 1)] if times else 0.0


def _drawn(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def refresh() -> None:
    """Put the tables of all results into the page, each between its markers."""
    text = _put(PAGE.read_text(), "faults", table(_lines(RUNS)))
    PAGE.write_text(_put(text, "kills", kills_table(_lines(KILLS))))


def _lines(files: str) -> list[Record]:
    return [
        json.loads(line)
        for file in sorted(RESULTS.glob(files))
        for line in file.read_text().splitlines()
    ]


def _put(text: str, name: str, drawn: str) -> str:
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, after = text.index(begin) + len(begin), text.index(end)
    return f"{text[:before]}\n{drawn}\n{text[after:]}"
