"""A stack in which the processes of one service can be a broken build of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from abbotik_cli import services
from abbotik_cli.program import Program
from tests.stack import ROOT, Stack

WORKER = "room-worker"
# Which service each build is of.
BUILDS = {
    "next_rev": WORKER,
    "short_replay": services.GATEWAY,
    "missing_event": WORKER,
    "doubled_seq": services.GATEWAY,
    "deaf": WORKER,
    "skipped_wake": WORKER,
    "old_times": WORKER,
    "mute_wake": WORKER,
    "hasty_heir": WORKER,
}


class SabotagedStack(Stack):
    """A gateway and two room-workers, all sound until `run_as` says otherwise."""

    def __init__(self, folder: Path) -> None:
        # Two workers, so that they race for the rooms.
        super().__init__(folder, room_workers=2)
        # They take no part in what is sabotaged.
        self._counts |= {"factory": 0, "verifier": 0}
        self._sound: dict[str, Program] = {}

    def start(self) -> None:
        """Start everything, sound."""
        super().start()
        self._sound = dict(self._programs)

    def run_as(self, build: str | None) -> None:
        """Have everything sound but the service of the build; None is sound altogether."""
        wanted = {name: _built(program, build) for name, program in self._sound.items()}
        changed = [name for name in wanted if wanted[name] != self._programs[name]]
        for name in changed:
            self.kill(name)
        self._programs = wanted
        self.bring_back(*changed)


def _built(program: Program, build: str | None) -> Program:
    """Return the program, or the broken one where the build is of its service."""
    if build is None or not program.name.startswith(BUILDS[build]):
        return program
    argv = (sys.executable, "-m", f"tests.faults.sabotage.{build}")
    return replace(program, argv=argv, env={**program.env, "PYTHONPATH": str(ROOT)})
