"""The language of scripted turns: what a message may ask the scripted executor to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from abbotik_contracts.room_log import Record

MAX_WAIT_MS = 600_000
MAX_SIZE_KIB = 1_024
_CODE = re.compile(r"[A-Z][A-Z0-9_]{2,63}")
_TOOL = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


@dataclass(frozen=True, slots=True)
class Say:
    """`!say TEXT`: a line of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Stream:
    """`!stream MS TEXT`: a line of the answer, word by word, a pause in ms before each."""

    delay_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """`!wait MS`: nothing, for a while."""

    ms: int


@dataclass(frozen=True, slots=True)
class Call:
    """`!tool NAME {ARGUMENTS}`: a tool call; its result is a line of the answer."""

    name: str
    arguments: Record


@dataclass(frozen=True, slots=True)
class Fail:
    """`!fail CODE MESSAGE`: the turn fails."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Fill:
    """`!size KIB`: a line of the answer with so many KiB."""

    kib: int


Directive = Say | Stream | Wait | Call | Fail | Fill


class ScriptError(ValueError):
    """A line that is no directive; the text says which one and what it must look like."""


def parse(content: str) -> list[Directive]:
    """Read a message: directives, a line each, or plain text, which is echoed.

    Raises ScriptError.
    """
    if not content.startswith("!"):
        return [Say(f"echo: {content}")]
    lines = [line for line in content.splitlines() if line.strip()]
    script = [_directive(number, line.strip()) for number, line in enumerate(lines, start=1)]
    # A message could hold thousands of them, and an answer is built in memory.
    if sum(each.kib for each in script if isinstance(each, Fill)) > MAX_SIZE_KIB:
        raise ScriptError(f"all !size lines together: more than {MAX_SIZE_KIB} KiB")
    return script


def _directive(number: int, line: str) -> Directive:
    word, _, rest = line.partition(" ")
    try:
        match word:
            case "!say":
                return Say(rest)
            case "!stream":
                delay, _, text = rest.partition(" ")
                return Stream(_bounded(delay, MAX_WAIT_MS), text)
            case "!wait":
                return Wait(_bounded(rest, MAX_WAIT_MS))
            case "!tool":
                return _call(rest)
            case "!fail":
                code, _, message = rest.partition(" ")
                return Fail(_matching(_CODE, code), message or "the message asked for it")
            case "!size":
                return Fill(_bounded(rest, MAX_SIZE_KIB))
            case _:
                return _unknown()
    except ValueError as error:
        raise ScriptError(f"line {number} ({word}): {error}") from error


def _unknown() -> Directive:
    raise ValueError("the directives are !say !stream !wait !tool !fail !size")


def _call(rest: str) -> Call:
    name, _, text = rest.partition(" ")
    # Not `json`, which takes NaN and depths that neither an event nor an entry can hold.
    arguments = orjson.loads(text) if text.strip() else {}
    if not isinstance(arguments, dict):
        raise ValueError("the arguments must be a JSON object")  # noqa: TRY004  the caller's fault
    return Call(_matching(_TOOL, name), arguments)


def _bounded(text: str, most: int) -> int:
    if not text.strip().isdigit() or int(text) > most:
        raise ValueError(f"needs a whole number from 0 to {most}")
    return int(text)


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{text!r} does not match {pattern.pattern}")
    return text
