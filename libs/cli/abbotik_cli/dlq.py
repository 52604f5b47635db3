"""`abbotik dlq`: what services refused for good, and what becomes of it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import AsyncIterator

from abbotik_cli import terminal
from abbotik_cli.deployment import connected
from abbotik_cli.fault import Fault
from abbotik_runtime.dead_letters import DeadLetter, DeadLetters, TruncatedError

_CAUSE_SHOWN = 100


async def run(arguments: Namespace) -> int:
    """Carry out one of list, show, redrive, drop; returns the exit code."""
    async with connected() as deployment:
        letters = DeadLetters(deployment.bus)
        match arguments.verb:
            case "list":
                await _list(letters, arguments.service)
            case "show":
                terminal.show(_whole(await _the(letters, arguments.seq)))
            case "redrive":
                await _redrive(letters, arguments)
            case _:
                await _drop(letters, arguments)
    return 0


async def _list(letters: DeadLetters, service: str | None) -> None:
    count = 0
    async for letter in letters.all(service):
        terminal.show(_line(letter))
        count += 1
    terminal.say(f"{count} dead letters" if count != 1 else "1 dead letter")


async def _redrive(letters: DeadLetters, arguments: Namespace) -> None:
    async for letter in _chosen(letters, arguments):
        try:
            await letters.redrive(letter)
        except TruncatedError as error:
            # With --all the others still go: this one stays and says why.
            terminal.say(f"{error}: it was larger than a dead letter can be; drop it")
            continue
        terminal.say(f"{letter.seq} sent again to {letter.subject}")


async def _drop(letters: DeadLetters, arguments: Namespace) -> None:
    async for letter in _chosen(letters, arguments):
        await letters.drop(letter.seq)
        terminal.say(f"{letter.seq} dropped ({letter.code}, {letter.subject})")


async def _chosen(letters: DeadLetters, arguments: Namespace) -> AsyncIterator[DeadLetter]:
    if arguments.all:
        # Those that are there now: one that comes back while this runs is not taken again.
        for letter in [letter async for letter in letters.all(arguments.service)]:
            yield letter
        return
    if not arguments.seq:
        raise Fault("Name dead letters by their numbers, or say --all.")
    for seq in arguments.seq:
        yield await _the(letters, seq)


async def _the(letters: DeadLetters, seq: int) -> DeadLetter:
    letter = await letters.get(seq)
    if letter is None:
        raise Fault(f"There is no dead letter {seq}: `abbotik dlq list` shows their numbers.")
    return letter


def _line(letter: DeadLetter) -> str:
    cause = letter.cause.replace("\n", " ")[:_CAUSE_SHOWN]
    return (
        f"{letter.seq}  {letter.at:%Y-%m-%dT%H:%M:%SZ}  {letter.service}  {letter.code}  "
        f"{letter.attempts}x  {letter.subject}  {cause}\n"
    )


def _whole(letter: DeadLetter) -> str:
    command: object
    try:
        command = json.loads(letter.data)
    except ValueError:
        command = letter.data.decode(errors="replace")
    shown = {
        "seq": letter.seq,
        "at": f"{letter.at:%Y-%m-%dT%H:%M:%SZ}",
        "service": letter.service,
        "code": letter.code,
        "cause": letter.cause,
        "attempts": letter.attempts,
        "subject": letter.subject,
        "truncated": letter.truncated,
        "headers": letter.headers,
        "command": command,
    }
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
