"""`make up` from a fresh clone: what a newcomer does and what goes wrong then."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from abbotik_cli.ports import Ports
from tests.acceptance.make_up import MakeUp, clone, paste, readme_lines, refused

# A first start without lent packages installs them.
pytestmark = pytest.mark.timeout(300)
STOP_S = 10.0
KILLED_S = 5.0
SAID = "Hello from a room that never loses a word"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a fresh clone, in a folder whose name has a space in it."""
    return clone(tmp_path_factory.mktemp("clone") / "abbotik llm")


@pytest.fixture(scope="module")
def port() -> int:
    """Return the PORT of the stack that most tests share."""
    return Ports().take()


@pytest.fixture(scope="module")
def running(
    checkout: Path, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeUp]:
    """Run the stack that most tests share, until one of them ends it."""
    made = MakeUp(checkout, port, tmp_path_factory.mktemp("home") / "state", {})
    try:
        made.ready()
        yield made
    finally:
        made.close()


def test_pasted_lines_stream_a_turn(running: MakeUp, port: int) -> None:
    """The two lines of the README are printed and, pasted into a shell, stream a turn."""
    lines = running.to_paste()
    assert lines == readme_lines(f"http://127.0.0.1:{port}", running.token())
    said = paste(*lines)
    assert "event: actor:delta" in said
    assert SAID in said.partition("event: actor:output")[2]
    assert "event: actor:turn_end" in said


def test_state_is_private(running: MakeUp) -> None:
    """Nobody else on the machine can read the tokens or the URLs of the servers."""
    for name in ("run.json", "tokens.json"):
        assert stat.S_IMODE((running.home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(running.home.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "name", ["gateway", "room-worker", "factory", "verifier", "nats-server", "mongod"]
)
def test_killed_child_is_started_again(running: MakeUp, name: str) -> None:
    """A killed child comes back by itself, and one line says so."""
    killed = running.pid(name)
    os.kill(killed, signal.SIGKILL)
    line = running.read_until(re.compile(rf"abbotik: {name} was killed by SIGKILL"))
    assert "started again" in line


def test_works_after_all_those_kills(running: MakeUp) -> None:
    """The stack whose every process was killed once serves the pasted lines as before."""
    retry = "--retry 30 --retry-delay 1 --retry-all-errors --fail"
    said = paste(*(line.replace("curl ", f"curl {retry} ", 1) for line in running.to_paste()))
    assert "event: actor:turn_end" in said


def test_second_start_is_refused(running: MakeUp, checkout: Path, port: int) -> None:
    """A second start on the same state says where the first one serves, and exits with 1."""
    said = refused(checkout, port, running.home)
    assert f"already runs at http://127.0.0.1:{port}" in said


def test_busy_port_is_refused(running: MakeUp, checkout: Path, port: int, tmp_path: Path) -> None:
    """A second stack on a port that is taken is told to choose another one."""
    assert running.left()
    assert f"Port {port} of 127.0.0.1 is in use" in refused(checkout, port, tmp_path)


@pytest.mark.parametrize("name", ["ABBOTIK_NATS_URL", "ABBOTIK_MONGO_URL"])
def test_absent_server_is_named(checkout: Path, tmp_path: Path, name: str) -> None:
    """A given server that does not answer is named by its variable."""
    free = Ports()
    scheme = "nats" if "NATS" in name else "mongodb"
    url = f"{scheme}://127.0.0.1:{free.take()}"
    assert name in refused(checkout, free.take(), tmp_path, **{name: url})


def test_kill_takes_children_along_and_the_next_start_cleans_up(
    checkout: Path, port: int, running: MakeUp, capsys: pytest.CaptureFixture[str]
) -> None:
    """After kill -9 of the supervisor nothing is left; the next start works with all it kept."""
    os.kill(running.pid("supervisor"), signal.SIGKILL)
    assert running.gone(KILLED_S), running.left()
    second = MakeUp(checkout, port, running.home, {})
    try:
        took = second.ready()
        with capsys.disabled():
            print(f"\n  second start: {took:.1f} s")  # noqa: T201 - a number for people
        assert second.token() == running.token()
        assert SAID in paste(*second.to_paste())
        assert second.end(signal.SIGTERM) < STOP_S
        assert second.left() == []
    finally:
        second.close()


def test_ctrl_c_while_starting_leaves_nothing(checkout: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a start ends what was started already."""
    made = MakeUp(checkout, Ports().take(), tmp_path, {})
    try:
        made.read_until(re.compile("abbotik: starting"))
        assert made.interrupt() < STOP_S
        assert made.left() == []
        assert json.loads((tmp_path / "run.json").read_text())["processes"] == {}
    finally:
        made.close()


def test_death_of_make_ends_the_stack(checkout: Path, tmp_path: Path) -> None:
    """When make itself is killed with signal 9, nothing is left behind either."""
    made = MakeUp(checkout, Ports().take(), tmp_path, {})
    try:
        made.read_until(re.compile("abbotik: starting"))
        made.end(signal.SIGKILL)
        assert made.gone(STOP_S), made.left()
    finally:
        made.close()
