"""`make bench`: one command, one table. See bench/README.md."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
# Started as a script: its own folder is no place to import from, the one above is.
sys.path[0] = str(ROOT)

from bench import scenarios, table  # noqa: E402  needs the path above
from bench.product.running import Product, product  # noqa: E402  the same
from bench.samples import Finding  # noqa: E402  the same
from bench.servers import Servers, both  # noqa: E402  the same

Found = dict[str, Finding]

README = ROOT / "bench" / "README.md"
BEGIN, END = "<!-- latest -->\n", "<!-- /latest -->"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples; proves nothing")
    parser.add_argument("--floors-only", action="store_true", help="without the product")
    parser.add_argument("--only", choices=scenarios.NAMES, help="one measurement")
    return parser.parse_args()


def is_full(asked: argparse.Namespace) -> bool:
    """Whether everything is measured, with enough samples."""
    return not (asked.quick or asked.floors_only or asked.only)


class Run:
    """One run: what was asked for, where the servers are, what was found of floors and product."""

    def __init__(self, asked: argparse.Namespace, servers: Servers, home: Path) -> None:
        self._asked = asked
        self._servers = servers
        self._home = home
        self.ours: Found = {}
        self.before: Found = {}
        self.after: Found = {}

    def everything(self) -> None:
        """Measure what was asked for: the product, each floor right before and after it."""
        if self._asked.floors_only or self._asked.only in scenarios.FLOOR_NAMES:
            floors = self._wanted(scenarios.FLOORS)
            self._floors(floors, self.before)
            self._floors(floors, self.after)
            return
        slow = [scenario for scenario in scenarios.SLOW if scenario.name == self._asked.only]
        for scenario in (*self._wanted(scenarios.PRODUCT), *slow):
            floors = [one for one in scenarios.FLOORS if one.name in scenario.against]
            self._floors(floors, self.before)
            with product(self._home / "product", self._servers) as stack:
                self.ours |= self._run(scenario, stack)
            self._floors(floors, self.after)
        for scenario in self._wanted(scenarios.ALONE):
            self.ours |= self._run(scenario)

    def _wanted(self, of: Sequence[scenarios.Scenario]) -> list[scenarios.Scenario]:
        return [scenario for scenario in of if self._asked.only in (None, scenario.name)]

    def _floors(self, floors: Sequence[scenarios.Scenario], found: Found) -> None:
        for floor in floors:
            found |= self._run(floor)

    def _run(self, scenario: scenarios.Scenario, stack: Product | None = None) -> Found:
        print(scenario.name, file=sys.stderr, flush=True)
        given = scenarios.arguments(scenario, self._servers, stack)
        return scenarios.run(scenario, given, quick=self._asked.quick)


def measure(asked: argparse.Namespace) -> str:
    """Run everything that was asked for and return the report."""
    averages = {"before": os.getloadavg()}
    with TemporaryDirectory(prefix="abbotik-bench-") as folder, both(Path(folder)) as servers:
        run = Run(asked, servers, Path(folder))
        run.everything()
    averages["after"] = os.getloadavg()
    floors = table.Floors(run.before, run.after)
    return table.report(run.ours, floors, averages, full=is_full(asked))


def keep(report: str) -> None:
    """Replace the latest report in the README."""
    text = README.read_text()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    README.write_text(f"{text[:start]}\n{now}, `python bench/run.py`. {report}\n\n{text[end:]}")


def main() -> int:
    """Run, print, and keep the report of a full run; 0 unless something could not be measured."""
    # SIGTERM unwinds like Ctrl-C, so that every child is ended.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    # A shell that starts this in the background has it ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = options()
    try:
        report = measure(asked)
    except (RuntimeError, OSError) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(report)
    if is_full(asked):
        keep(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
