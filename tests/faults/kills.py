"""`make kills`: kill room-workers again and again, a line for each, and the page's table.

KILLS=1000 kills so many, MINUTES=30 ends after that time whatever comes first. Each portion of 48
kills has rooms of its own, and its lines are written when the checker has looked at all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults import page
from tests.faults.history import Record
from tests.faults.portion import CampaignStack, run_portion
from tests.faults.run import commit, say
from tests.stack import ROOT

PORTION = 48
# From the signal to the next committed step, at the 95th percentile.
TAKEOVER_S = 5.0


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many workers are killed")
    parser.add_argument("--minutes", type=float, default=15, help="no kill comes later than this")
    parser.add_argument("--seed", type=int, help="the first portion's seed; the next have the next")
    return parser.parse_args()


async def campaign(kills: int, minutes: float, seed: int, results: Path) -> list[Record]:
    """Run portion after portion and return a line for each kill."""
    until, done = time.monotonic() + minutes * 60, list[Record]()
    with (
        TemporaryDirectory(prefix="abbotik-kills-") as folder,
        CampaignStack(Path(folder)) as stack,
    ):
        while kills > 0 and time.monotonic() < until:
            lines = await run_portion(stack, seed, min(PORTION, kills), until)
            if not lines:
                raise RuntimeError("no worker could be killed: the load never ran")
            keep(lines, results)
            done += lines
            kills -= len(lines)
            seed += 1
    return done


def keep(lines: list[Record], results: Path) -> None:
    """Append the kills of a portion to the results, and say how it went."""
    tree = commit()
    with results.open("a") as file:
        file.writelines(json.dumps({**line, "commit": tree}) + "\n" for line in lines)
    portion = lines[0]["portion"]
    broken = portion["violations"]
    times = [time for line in lines for time in line["takeover_s"]]
    say(
        f"seed {lines[0]['seed']}: {f'{len(broken)} VIOLATIONS' if broken else 'sound'}, "
        f"{len(lines)} kills, {portion['messages']} messages, {portion['events']} events, "
        f"{len(times)} of {sum(line['held'] for line in lines)} rooms taken over, the slowest in "
        f"{max(times, default=float('nan')):.2f} s"
    )
    for violation in broken[:20]:
        say(f"    {violation}")


def main() -> int:
    """Kill, keep, refresh the page; 1 where a promise was broken, or takeovers came too late."""
    # SIGTERM unwinds like Ctrl-C, so that every child is ended.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    asked = options()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    page.RESULTS.mkdir(parents=True, exist_ok=True)
    results = page.RESULTS / f"kills-{datetime.now(UTC):%Y-%m-%d}.jsonl"
    try:
        done = asyncio.run(campaign(asked.kills, asked.minutes, seed, results))
    finally:
        page.refresh()
    broken, late = page.violations_of(done), page.percentile(done, 0.95)
    say(f"{broken} violations; {results.relative_to(ROOT)} has every kill")
    say(f"takeovers: p95 {late:.2f} s, {TAKEOVER_S:.2f} s are allowed")
    return 1 if broken or late > TAKEOVER_S else 0


if __name__ == "__main__":
    sys.exit(main())
