"""Child processes of the bench: started with their output in a file, ended by their own pid.

Each is tied to the life of this process by the kernel, so nothing stays behind when it is killed.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from abbotik_cli import tether

ROOT = Path(__file__).resolve().parent.parent
GRACE_S = 12.0


def free_port() -> int:
    """Return a loopback TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(path: Path, size: int = 2000) -> str:
    """Return the last `size` characters of a log file."""
    return path.read_text(errors="replace")[-size:]


def wait_for_port(child: subprocess.Popen[bytes], port: int, log: Path, limit_s: float) -> None:
    """Return once `port` accepts; RuntimeError with the log's end if the child dies or is late."""
    until = time.monotonic() + limit_s
    while child.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError(f"{child.args!r} does not listen on {port}:\n{tail(log)}")


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask the child to go, and after GRACE_S kill it and all of its session."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextmanager
def running(
    argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, *, batch: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a child from the repository's root in a session of its own and end it afterwards.

    A session of its own, so that Ctrl-C reaches only the bench, which then ends its children in
    order. `env` is added to the bench's environment; stdout and stderr go to `log`. `batch`: see
    `tether.command`.
    """
    with log.open("ab") as out:
        child = subprocess.Popen(
            tether.command(argv, batch=batch),
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        yield child
    finally:
        end(child)


@contextmanager
def asgi(app: str, log: Path) -> Iterator[int]:
    """Serve `module:app` on uvicorn with uvloop and httptools, one process; yields the port."""
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--lifespan", "off"]
    # Followers never leave by themselves.
    argv += ["--timeout-graceful-shutdown", "1", "--log-level", "warning"]
    with running(argv, log) as child:
        wait_for_port(child, port, log, 20)
        yield port
