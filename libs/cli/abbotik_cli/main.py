"""The entry point of `abbotik`."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import sys
from collections.abc import Sequence

from abbotik_cli import tether
from abbotik_cli.fault import Fault

FULL = (errno.ENOSPC, errno.EDQUOT)
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code; every fault is one sentence on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        asyncio.run(_up(arguments) if arguments.command == "up" else _provision())
    except Fault as fault:
        return _say(str(fault))
    except OSError as error:
        if error.errno in FULL:
            return _say("The disk is full: free some space and start again.")
        return _say(f"Cannot use {error.filename or 'a file'} ({error.strerror}): is it yours?")
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="abbotik", description="Rooms that never lose work.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run servers and services on this machine")
    up.add_argument(
        "--with-parent", action="store_true", help="stop when the process that started it ends"
    )
    commands.add_parser("provision", help="create streams, consumers and indexes")
    return parser


async def _up(arguments: argparse.Namespace) -> None:
    from abbotik_cli import options, up  # noqa: PLC0415 - each command imports what it needs

    if arguments.with_parent:
        tether.tie(os.getppid(), signal.SIGTERM)
    await up.up(options.read(os.environ))


async def _provision() -> None:
    from abbotik_cli import provision  # noqa: PLC0415 - as above
    from abbotik_runtime.settings import ServiceSettings  # noqa: PLC0415 - as above

    settings = ServiceSettings.load()
    await provision.provision(settings.nats_url, settings.mongo_url, settings.mongo_database)


def _say(sentence: str) -> int:
    sys.stderr.write(f"abbotik: {sentence}\n")
    return 1
