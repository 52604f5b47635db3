"""`make sabotage`: tests of real processes, with room workers without the fix that they are about.

Each has to fail. They take minutes, since some wait for what never comes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.stack import BUILD, ROOT

# Build → the test that has to find it.
FOUND_BY = {
    "forgets_refusals": "acceptance/test_refusals.py",
    "looks_for_projected_rooms_only": "acceptance/test_servers_away.py -k only_the_log_knows",
    "takes_others_for_dead_while_away": "faults/clusters/test_lost.py -k outlive_the_primary",
    "counts_bad_weather": "acceptance/test_servers_away.py -k mongodb_away",
    "keeps_no_deadline": "faults/test_hung_turn.py",
}
FAILED = 1


def main() -> int:
    """Run every test on its build; return how many found nothing."""
    return sum(not _found(build, words.split()) for build, words in FOUND_BY.items())


def _found(build: str, words: list[str]) -> bool:
    """Run a test on its build; say with what it failed."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"tests/{words[0]}", *words[1:]],
        cwd=ROOT,
        env={**os.environ, BUILD: build},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (line for line in done.stdout.splitlines() if line.startswith("E  "))
    said = [line.strip() for line in lines if "assert" in line or "Error" in line]
    found = done.returncode == FAILED and bool(said)
    took, why = time.monotonic() - began, said[-1] if said else done.stdout[-500:]
    sys.stdout.write(f"{'found' if found else 'UNSEEN'} {build} ({took:.0f} s): {why[:160]}\n")
    sys.stdout.flush()
    return found


if __name__ == "__main__":
    sys.exit(main())
