"""The entry point of `abbotik`."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence

from abbotik_cli import tether
from abbotik_cli.fault import Fault

FULL = (errno.ENOSPC, errno.EDQUOT)
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code; every fault is one sentence on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        return asyncio.run(_COMMANDS[arguments.command](arguments))
    except Fault as fault:
        return _say(str(fault))
    except OSError as error:
        if error.errno in FULL:
            return _say("The disk is full: free some space and start again.")
        return _say(f"Cannot use {error.filename or 'a file'} ({error.strerror}): is it yours?")
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="abbotik", description="Rooms that never lose work.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run servers and services on this machine")
    up.add_argument(
        "--with-parent", action="store_true", help="stop when the process that started it ends"
    )
    commands.add_parser("provision", help="create streams, consumers and indexes")
    commands.add_parser("doctor", help="name what is wrong with a deployment")
    _add_dlq(commands.add_parser("dlq", help="dead letters: what was refused for good"))
    check = commands.add_parser("verify-log", help="recompute a room's chain of hashes")
    check.add_argument("room", help="the room's id")
    check.add_argument("--tenant", default="dev", help="whose room it is (default: dev)")
    check.add_argument(
        "--expect", type=_mark, metavar="SEQ:HASH", help="an event's hash that was noted earlier"
    )
    return parser


def _add_dlq(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="a line each, oldest first")
    show = verbs.add_parser("show", help="one with its cause, headers and command")
    show.add_argument("seq", type=int, help="its number")
    redrive = verbs.add_parser("redrive", help="send them again to where they came from")
    drop = verbs.add_parser("drop", help="forget them for ever")
    for verb in (redrive, drop):
        verb.add_argument("seq", type=int, nargs="*", help="their numbers")
        verb.add_argument("--all", action="store_true", help="all that are there")
    for verb in (listing, redrive, drop):
        verb.add_argument("--service", help="only of this service")


def _mark(text: str) -> object:
    from abbotik_cli import verify_log  # noqa: PLC0415 - each command imports what it needs

    return verify_log.mark(text)


async def _up(arguments: argparse.Namespace) -> int:
    from abbotik_cli import options, up  # noqa: PLC0415 - as above

    if arguments.with_parent:
        tether.tie(os.getppid(), signal.SIGTERM)
    await up.up(options.read(os.environ))
    return 0


async def _provision(_: argparse.Namespace) -> int:
    from abbotik_cli import provision  # noqa: PLC0415 - as above
    from abbotik_runtime.settings import ProvisionSettings  # noqa: PLC0415 - as above

    settings = ProvisionSettings.load()
    await provision.provision(
        settings.nats_url, settings.mongo_url, settings.mongo_database, settings.nats_replicas
    )
    return 0


async def _doctor(arguments: argparse.Namespace) -> int:
    from abbotik_cli import doctor  # noqa: PLC0415 - as above

    return await doctor.run(arguments)


async def _dlq(arguments: argparse.Namespace) -> int:
    from abbotik_cli import dlq  # noqa: PLC0415 - as above

    return await dlq.run(arguments)


async def _verify_log(arguments: argparse.Namespace) -> int:
    from abbotik_cli import verify_log  # noqa: PLC0415 - as above

    return await verify_log.run(arguments)


_COMMANDS: dict[str, Callable[[argparse.Namespace], Coroutine[None, None, int]]] = {
    "up": _up,
    "provision": _provision,
    "doctor": _doctor,
    "dlq": _dlq,
    "verify-log": _verify_log,
}


def _say(sentence: str) -> int:
    sys.stderr.write(f"abbotik: {sentence}\n")
    return 1
