"""What a running docker-compose.yml must hold; started by run.sh, which builds and removes it.

Not named test_*.py: `make test` must not build images.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {"gateway", "room-worker", "factory", "verifier"}
WORKERS = 3
README_URL = "http://127.0.0.1:9002"
WORDS = " ".join(f"word{number}" for number in range(40))
LIVE = re.compile(r'abbotik_published_total\{family="live[^"]*",kind="core"\} ([0-9.e+]+)')
READ_METRICS = (
    "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9103/metrics').read().decode())"
)

pytestmark = pytest.mark.timeout(180)


def compose(*words: str) -> str:
    """Run `docker compose` on the project of this run; return what it printed."""
    done = subprocess.run(
        ["docker", "compose", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def containers(*services: str) -> list[dict[str, Any]]:
    """Return what `docker inspect` says of the containers of these services, or of all."""
    ids = compose("ps", "--all", "--quiet", *services).split()
    found = subprocess.run(
        ["docker", "inspect", *ids], capture_output=True, text=True, check=True
    ).stdout
    parsed: list[dict[str, Any]] = json.loads(found)
    return parsed


def service_of(container: dict[str, Any]) -> str:
    """Return the service that a container belongs to."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def base_url() -> str:
    """Return where this machine reaches the gateway."""
    return "http://" + compose("port", "gateway", "9002").strip()


@pytest.fixture
def token() -> str:
    """Return the user's token that deploy/env.sh made."""
    text = (Path(os.environ["ABBOTIK_TEST_COMPOSE"]) / ".env").read_text()
    found = re.search("^ABBOTIK_DEV_TOKEN=(.*)$", text, re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture
def client(token: str) -> Iterator[httpx.Client]:
    """Yield a client with the user's token."""
    with httpx.Client(
        base_url=base_url(), headers={"Authorization": f"Bearer {token}"}, timeout=60
    ) as one:
        yield one


def rent(client: httpx.Client) -> str:
    """Rent a room and return its id."""
    answer = client.post("/llm/room", json={"purpose": "compose"}).raise_for_status()
    return str(answer.json()["data"]["id"])


def events(client: httpx.Client, room: str) -> list[dict[str, Any]]:
    """Return all events of a room's log."""
    answer = client.get(f"/llm/room/{room}/events", params={"follow": "false"}).raise_for_status()
    return [
        json.loads(line.removeprefix("data:"))
        for line in answer.text.splitlines()
        if line.startswith("data:") and '"event_type"' in line
    ]


def stays_ready(client: httpx.Client, *, for_s: float, within_s: float) -> None:
    """Return when the gateway has called itself ready for a while; AssertionError if it is late."""
    began = green_since = time.monotonic()
    while True:
        answer = client.get("/health/ready")
        now = time.monotonic()
        if answer.status_code != httpx.codes.OK:
            green_since = now
        elif now - green_since >= for_s:
            return
        assert now - began < within_s, answer.text
        time.sleep(0.2)


def live_deltas(worker: str) -> float:
    """Return how many deltas a worker's container has sent so far."""
    text = subprocess.run(
        ["docker", "exec", worker, "python", "-c", READ_METRICS],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return sum(float(value) for value in LIVE.findall(text))


def test_pasted_lines_stream_a_turn(token: str) -> None:
    """The lines of the README, pasted, rent a room and stream its turn to the end."""
    lines = [
        line.replace(README_URL, base_url())
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith(("ROOM=", "curl -sN "))
    ]
    assert len(lines) == 2, lines
    done = subprocess.run(
        ["bash", "-euc", "\n".join(lines)],
        env={**os.environ, "TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "event: actor:delta" in done.stdout, done.stdout + done.stderr
    assert "event: actor:turn_end" in done.stdout, done.stdout + done.stderr


def test_smoke_inside_the_network() -> None:
    """From inside, all services are ready, a turn runs, and strangers get into neither server."""
    compose("--profile", "test", "run", "--rm", "--no-deps", "smoke")


def test_operator_finds_nothing_wrong() -> None:
    """With a user of its own, which may look at everything, and at dead letters."""
    doctor = ("--profile", "operator", "run", "--rm", "--no-deps", "operator")
    compose(*doctor, "doctor")
    compose(*doctor, "dlq", "list")


def test_only_the_gateway_is_published() -> None:
    """Nothing but the gateway's HTTP port is bound on this machine, and that on loopback."""
    published = {
        (service_of(each), inner, binding["HostIp"])
        for each in containers()
        for inner, bindings in (each["NetworkSettings"]["Ports"] or {}).items()
        for binding in bindings or ()
    }
    assert published == {("gateway", "9002/tcp", "127.0.0.1")}


def test_containers_can_do_little() -> None:
    """No container has a capability, a writable root or a way to more; services are not root."""
    for each in containers():
        name, host = service_of(each), each["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        if name in SERVICES:
            assert each["Config"]["User"] == "10001:10001", name


def test_workers_are_scaled() -> None:
    """Three workers run, each healthy."""
    states = [each["State"]["Health"]["Status"] for each in containers("room-worker")]
    assert states == ["healthy"] * WORKERS


def test_killed_worker_leaves_its_turn_to_another(client: httpx.Client) -> None:
    """A turn whose worker is killed goes on elsewhere, and the open stream shows its end."""
    room = rent(client)
    workers = [str(each["Id"]) for each in containers("room-worker")]
    before = {worker: live_deltas(worker) for worker in workers}
    ended = False
    killed = ""
    with client.stream(
        "POST",
        f"/llm/room/{room}/messages",
        json={"content": f"!stream 200 {WORDS}"},
        headers={"Accept": "text/event-stream"},
    ) as stream:
        for line in stream.iter_lines():
            if line == "event: actor:delta" and not killed:
                killed = next(w for w in workers if live_deltas(w) > before[w])
                # As a crash would: Docker does not start again what it was told to kill.
                subprocess.run(["docker", "exec", killed, "sh", "-c", "kill -9 -1"], check=False)
            ended = ended or line == "event: actor:turn_end"
    assert killed
    assert ended
    log = events(client, room)
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    kinds = [event["event_type"] for event in log]
    assert kinds.count("actor:turn_end") == 1
    assert "room:recovered" in kinds
    (output,) = [event for event in log if event["event_type"] == "actor:output"]
    assert output["payload"]["text"] == WORDS


def test_killed_worker_comes_back() -> None:
    """A worker that died is started again and becomes healthy."""
    until = time.monotonic() + 60
    while True:
        found = containers("room-worker")
        states = [each["State"]["Health"]["Status"] for each in found]
        if states == ["healthy"] * WORKERS and any(each["RestartCount"] for each in found):
            return
        assert time.monotonic() < until, states
        time.sleep(0.5)


def test_servers_come_back(client: httpx.Client) -> None:
    """After a crash of NATS and of MongoDB everything becomes ready again, and a turn runs."""
    ids = [str(each["Id"]) for each in containers("nats", "mongo")]
    subprocess.run(["docker", "restart", "--time", "0", *ids], capture_output=True, check=True)
    # Longer than a service goes on trusting what it last saw.
    stays_ready(client, for_s=8, within_s=40)
    answer = client.post(
        f"/llm/room/{rent(client)}/messages",
        json={"content": "hello"},
        headers={"Accept": "text/event-stream"},
    ).raise_for_status()
    assert "event: actor:turn_end" in answer.text


def test_rooms_outlive_the_containers(client: httpx.Client) -> None:
    """After `down` and `up` a room has its log, and goes on."""
    room = rent(client)
    kept = events(client, room)
    compose("down", "--timeout", "30")
    compose(
        "up", "--detach", "--wait", "--wait-timeout", "120", "--scale", f"room-worker={WORKERS}"
    )
    client.base_url = base_url()
    client.post(
        f"/llm/room/{room}/messages",
        json={"content": "still here"},
        headers={"Accept": "text/event-stream"},
    ).raise_for_status()
    log = events(client, room)
    assert log[: len(kept)] == kept
    assert log[-1]["seq"] == len(log) > len(kept)


def test_without_tokens_there_is_a_sentence(tmp_path: Path) -> None:
    """Before deploy/env.sh has run, compose refuses and says what to do."""
    (tmp_path / ".env").touch()
    done = subprocess.run(
        ["docker", "compose", "config", "--quiet"],
        env={**os.environ, "COMPOSE_ENV_FILES": str(tmp_path / ".env")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "run deploy/env.sh" in done.stderr
