"""`abbotik verify-log`: recomputes a room's chain of hashes from its log."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace

from abbotik_cli import terminal
from abbotik_cli.deployment import connected
from abbotik_cli.fault import Fault
from abbotik_kernel.chain import Mark
from abbotik_runtime.log_check import LogCheck
from abbotik_runtime.log_reader import RoomLogReader

_HASH_CHARACTERS = 64


async def run(arguments: Namespace) -> int:
    """Check one room; returns 0 where its log is sound and 1 where it is not."""
    check = LogCheck(arguments.expect)
    faults = 0
    async with connected() as deployment:
        scope = RoomLogReader(deployment.database).of(arguments.tenant, arguments.room)
        async for entry in scope.entries():
            for fault in check.add(entry):
                faults += 1
                terminal.show(f"{fault}\n")
    if not check.entries:
        raise Fault(f"Tenant {arguments.tenant!r} has no room {arguments.room}.")
    for fault in check.faults_at_end():
        faults += 1
        terminal.show(f"{fault}\n")
    end = check.chain.end
    verdict = "sound" if not faults else f"NOT sound, {faults} faults"
    terminal.say(
        f"{verdict}: {end.seq} events in {check.entries} entries, the last hash is {end.hash}"
    )
    return 1 if faults else 0


def mark(text: str) -> Mark:
    """Read `SEQ:HASH`, a place in the chain that somebody noted earlier."""
    seq, _, digest = text.partition(":")
    if not (seq.isascii() and seq.isdigit() and len(digest) == _HASH_CHARACTERS):
        raise ArgumentTypeError(f"{text!r} is not SEQ:HASH, an event's number and its hash")
    return Mark(int(seq), digest)
