"""`make faults`: the whole matrix, a line for each run, and the page's table.

RUNS=3 runs each cell three times, ONLY=room-worker:kill just that one (ONLY=room-worker all of a
service's). In each round the cells of clusters share a stack, those of disks another, those that
take a minute a third, and all others a fourth. It ends by itself after 15 minutes at most, and ends
only what it started. Cells that the time is too short for are named, and the run has failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults import disks, page
from tests.faults.cell import run_cell
from tests.faults.clustered_stack import ClusteredStack
from tests.faults.disk_stack import on_disks
from tests.faults.faults import AWAY_CELLS, CELLS, CLUSTERED_CELLS, DISK_CELLS, Cell
from tests.faults.faulty_stack import FaultyStack, PairedStack
from tests.faults.history import Record
from tests.faults.proxies import Proxies
from tests.stack import ROOT

LIMIT_S = 15 * 60.0
# A cell takes a quarter of a minute, and longer when all goes wrong or a server is away; none
# begins later than this.
CELL_S = 120.0
# The stack ends within that.
END_S = 20.0


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how often each cell is run")
    parser.add_argument("--only", default="", help="a cell, or the beginning of its name")
    parser.add_argument("--seed", type=int, help="the first run's seed; the next have the next")
    return parser.parse_args()


def chosen(only: str) -> list[Cell]:
    """Return the cells whose name begins so; SystemExit where there is none."""
    known = [*CELLS, *CLUSTERED_CELLS, *DISK_CELLS, *AWAY_CELLS]
    cells = [cell for cell in known if str(cell).startswith(only)]
    if not cells:
        raise SystemExit(
            f"faults: no cell is called {only}; there are {', '.join(map(str, known))}"
        )
    return cells


def possible(cells: list[Cell]) -> list[Cell]:
    """Return those that this machine can run, and say why it cannot run the others."""
    left_out = [cell for cell in cells if cell in DISK_CELLS]
    if not left_out or not (why := disks.missing()):
        return cells
    say(f"{', '.join(map(str, left_out))} are left out: {why}")
    return [cell for cell in cells if cell not in DISK_CELLS]


async def run(cells: list[Cell], runs: int, first_seed: int, results: Path) -> tuple[int, int]:
    """Run the cells; return how many violations there were, and how many cells were run.

    TimeoutError past the limit.
    """
    broken = done = 0
    until = time.monotonic() + LIMIT_S - CELL_S
    stacks = (
        (_faulty, CELLS),
        (_clustered, CLUSTERED_CELLS),
        (_on_disks, DISK_CELLS),
        (_faulty, AWAY_CELLS),
    )
    by_stack = [
        (open_stack, some)
        for open_stack, known in stacks
        if (some := [cell for cell in cells if cell in known])
    ]
    for seed in range(first_seed, first_seed + runs):
        for open_stack, some in by_stack:
            if _is_up(until, some[0], seed):
                return broken, done
            with open_stack() as stack:
                found = await _run(stack, some, seed, results, until)
            broken += sum(found)
            done += len(found)
    return broken, done


async def _run(
    stack: PairedStack, cells: list[Cell], seed: int, results: Path, until: float
) -> list[int]:
    """Run cells on one stack, and return how many violations there were in each that was run."""
    found: list[int] = []
    for cell in cells:
        if _is_up(until, cell, seed):
            break
        line = await run_cell(stack, cell, seed)
        found.append(len(line["violations"]))
        keep({**line, "commit": commit()}, results)
    return found


def _is_up(until: float, cell: Cell, seed: int) -> bool:
    up = time.monotonic() > until
    if up:
        say(f"the time is up before {cell}, seed {seed}: it and the rest are left out")
    return up


@contextmanager
def _faulty() -> Iterator[PairedStack]:
    with _folder() as folder, Proxies() as proxies, FaultyStack(folder, proxies) as stack:
        yield stack


@contextmanager
def _clustered() -> Iterator[PairedStack]:
    with _folder() as folder, Proxies() as proxies, ClusteredStack(folder, proxies) as stack:
        yield stack


@contextmanager
def _on_disks() -> Iterator[PairedStack]:
    with _folder() as folder, Proxies() as proxies, on_disks(folder, proxies) as stack:
        yield stack


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="abbotik-faults-") as folder:
        yield Path(folder)


def keep(line: Record, results: Path) -> None:
    """Append a run to the results and say how it went."""
    with results.open("a") as file:
        file.write(json.dumps(line) + "\n")
    recovery = max(line["recovery_s"], default=float("nan"))
    accepted, events = line["counts"]["accepted"], line["counts"]["events"]
    verdict = f"{len(line['violations'])} VIOLATIONS" if line["violations"] else "sound"
    say(
        f"{line['cell']:24} seed {line['seed']}: {verdict}, {accepted} messages, {events} events, "
        f"recovered in {recovery:.2f} s"
    )
    for violation in line["violations"][:20]:
        say(f"    {violation}")


def commit() -> str:
    """Return the commit of the working tree, with a mark where it was changed since."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run, keep, refresh the page; 1 where a promise was broken or cells were left out."""
    # SIGTERM unwinds like Ctrl-C, so that every child is ended.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    asked = options()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    page.RESULTS.mkdir(parents=True, exist_ok=True)
    results = page.RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
    cells = possible(chosen(asked.only))
    running = run(cells, asked.runs, seed, results)
    try:
        broken, done = asyncio.run(asyncio.wait_for(running, LIMIT_S - END_S))
    finally:
        page.refresh()
    wanted = len(cells) * asked.runs
    say(f"{done} of {wanted} cells, {broken} violations")
    say(f"{results.relative_to(ROOT)} and docs/reliability.md have the rest")
    return 1 if broken or done < wanted else 0


if __name__ == "__main__":
    sys.exit(main())
