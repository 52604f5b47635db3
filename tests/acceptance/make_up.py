"""`make up` in a fresh clone, as a person at a terminal runs it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = "requirements-embedded.lock"
BANNER_END = re.compile(r"^curl ")
POLL_S = 0.02


def clone(target: Path) -> Path:
    """Clone HEAD of this checkout; lend it the installed packages if ABBOTIK_TEST_VENV has them."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    given = os.environ.get("ABBOTIK_TEST_VENV")
    if given and _same_packages(Path(given), target):
        _lend(Path(given), target)
    return target


class MakeUp:
    """A running `make up`; `text` is what it has printed so far, both streams together."""

    def __init__(self, folder: Path, port: int, home: Path, env: Mapping[str, str]) -> None:
        self.home = home
        self.text = ""
        self.began = time.monotonic()
        # The home is in the environment of everything that is started: a mark to find it by.
        self._mark = f"ABBOTIK_HOME={home}".encode()
        self._process = subprocess.Popen(
            ["make", "--no-print-directory", "up"],
            cwd=folder,
            env={**environment(home, port), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read_until(self, pattern: re.Pattern[str]) -> str:
        """Read on until a line matches; return that line. AssertionError if it never comes."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.text += line
            if pattern.search(line):
                return line
        raise AssertionError(f"no line matches {pattern.pattern!r} in:\n{self.text}")

    def ready(self) -> float:
        """Wait for the banner's end; return the seconds since the start."""
        self.read_until(BANNER_END)
        return time.monotonic() - self.began

    def to_paste(self) -> list[str]:
        """Return the two lines that the banner has to paste."""
        return [line for line in self.text.splitlines() if line.startswith(("ROOM=", "curl "))]

    def token(self) -> str:
        """Return the user token that the banner shows."""
        (line,) = (line for line in self.text.splitlines() if "user token" in line)
        return line.split()[-1]

    def pid(self, name: str) -> int:
        """Return the process that run.json names; KeyError while there is none."""
        return int(json.loads((self.home / "run.json").read_text())["processes"][name]["pid"])

    def left(self) -> list[str]:
        """Return the command lines of all living processes of this start, make included."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                if self._mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:
                # Ended in between, or belongs to somebody else.
                continue
        return found

    def end(self, number: signal.Signals) -> float:
        """Send make a signal, wait until all output has ended; return the seconds it took."""
        began = time.monotonic()
        self._process.send_signal(number)
        assert self._process.stdout is not None
        self.text += self._process.stdout.read()
        self._process.wait()
        return time.monotonic() - began

    def interrupt(self) -> float:
        """Press Ctrl-C: the terminal interrupts make and what it runs in its process group."""
        began = time.monotonic()
        os.killpg(self._process.pid, signal.SIGINT)
        assert self._process.stdout is not None
        self.text += self._process.stdout.read()
        self._process.wait()
        return time.monotonic() - began

    def gone(self, within_s: float) -> bool:
        """Whether no process of this start is left after at most so many seconds."""
        until = time.monotonic() + within_s
        while self.left() and time.monotonic() < until:
            time.sleep(POLL_S)
        return not self.left()

    def close(self) -> None:
        """End it for good, whatever the test did."""
        if self._process.poll() is None:
            self.end(signal.SIGTERM)
        if self._process.stdout is not None:
            self._process.stdout.close()


def environment(home: Path, port: int) -> dict[str, str]:
    """Return this environment without settings of Abbotik's, with a home and a port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ABBOTIK_")}
    # A make above this one (`make test`) must not lend its options.
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "HOST"):
        kept.pop(name, None)
    return {**kept, "PORT": str(port), "ABBOTIK_HOME": str(home)}


def readme_lines(url: str, token: str) -> list[str]:
    """Return the lines that README.md has to paste, for this URL and token."""
    text = (ROOT / "README.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith(("ROOM=", "curl -sN"))]
    return [line.replace("http://127.0.0.1:9002", url).replace("$TOKEN", token) for line in lines]


def refused(folder: Path, port: int, home: Path, **env: str) -> str:
    """Run `abbotik up` where it must refuse; return the one line that it says."""
    done = subprocess.run(
        [".venv/bin/abbotik", "up"],
        cwd=folder,
        env={**environment(home, port), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def paste(*lines: str) -> str:
    """Run lines in one new bash with nothing but the system's tools; return what is printed."""
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout


def _sums(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("/")]


def _stamp(folder: Path) -> str:
    command = f"sha256sum {shlex.quote(LOCK)} pyproject.toml; pwd"
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def _same_packages(venv: Path, folder: Path) -> bool:
    stamp = venv / f"{LOCK}.stamp"
    return stamp.exists() and _sums(stamp.read_text()) == _sums(_stamp(folder))


def _lend(venv: Path, folder: Path) -> None:
    """Make .venv in `folder` with its own project and command, and the packages of `venv`."""
    own = folder / ".venv"
    python = venv / "bin" / "python"
    subprocess.run([python, "-m", "venv", "--without-pip", own], check=True)
    (site,) = own.glob("lib/python3*/site-packages")
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    packages = venv / site.relative_to(own)
    paths = [folder / name for name in project["tool"]["hatch"]["build"]["dev-mode-dirs"]]
    # Before the lent packages, whose own .pth files are not read: the clone runs its own code.
    (site / "lent.pth").write_text("".join(f"{path}\n" for path in [*paths, packages]))
    command = own / "bin" / "abbotik"
    command.write_text(
        f'#!/bin/sh\nexec {shlex.quote(str(own / "bin/python"))} -m abbotik_cli "$@"\n'
    )
    shutil.copymode(python, command)
    # As install.sh does, so that starts take as long as a newcomer's.
    subprocess.run(
        [own / "bin" / "python", "-m", "compileall", "-qq", "libs", "services"],
        cwd=folder,
        check=True,
    )
    (own / f"{LOCK}.stamp").write_text(_stamp(folder))
