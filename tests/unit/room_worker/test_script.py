"""The language of scripted turns."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abbotik_room_worker.executors.script import (
    Call,
    Directive,
    Fail,
    Fill,
    Say,
    ScriptError,
    Stream,
    Wait,
    parse,
)


@pytest.mark.parametrize(
    ("content", "script"),
    [
        ("hello", [Say("echo: hello")]),
        (" !say no directive", [Say("echo:  !say no directive")]),
        ("two\n!say lines", [Say("echo: two\n!say lines")]),
        ("!say hello  there", [Say("hello  there")]),
        ("!say", [Say("")]),
        ("!stream 80 word by word", [Stream(80, "word by word")]),
        ("!stream 0 ", [Stream(0, "")]),
        ("!wait 600000", [Wait(600_000)]),
        ("!tool echo", [Call("echo", {})]),
        ('!tool echo {"a": [1, null]}', [Call("echo", {"a": [1, None]})]),
        ("!fail BOOM it broke", [Fail("BOOM", "it broke")]),
        ("!fail BOOM", [Fail("BOOM", "the message asked for it")]),
        ("!size 1024", [Fill(1024)]),
        ("!say a\n\n  !wait 1  \n!size 0", [Say("a"), Wait(1), Fill(0)]),
    ],
)
def test_content_is_read_as_documented(content: str, script: list[Directive]) -> None:
    """One directive a line where the content begins with one, else an echo of all of it."""
    assert parse(content) == script


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("!sing a song", "line 1 (!sing): the directives are !say !stream !wait"),
        ("!say a\nplain", "line 2 (plain): the directives are"),
        ("!wait", "line 1 (!wait): needs a whole number from 0 to 600000"),
        ("!wait -1", "needs a whole number"),
        ("!wait 1.5", "needs a whole number"),
        ("!wait 600001", "needs a whole number"),
        ("!wait ²", "line 1 (!wait)"),
        ("!wait " + "9" * 5000, "line 1 (!wait)"),
        ("!stream soon a b", "needs a whole number"),
        ("!size 1025", "needs a whole number from 0 to 1024"),
        ("!size 1000\n!size 25", "all !size lines together: more than 1024 KiB"),
        ("!tool", "does not match"),
        ("!tool a,b {}", "does not match"),
        ("!tool echo [1]", "the arguments must be a JSON object"),
        ("!tool echo {", "line 1 (!tool)"),
        ("!fail", "does not match"),
        ("!fail lower", "does not match"),
    ],
)
def test_what_is_no_directive_says_which_line(content: str, sentence: str) -> None:
    """The error names the line, the word, and what it must look like."""
    with pytest.raises(ScriptError) as caught:
        parse(content)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_arguments_are_json(number: str) -> None:
    """What only Python takes for JSON is refused: no event could hold it."""
    with pytest.raises(ScriptError):
        parse(f'!tool echo {{"n": {number}}}')


@given(st.text().map(lambda text: f"!{text}"))
def test_any_content_is_a_script_or_a_script_error(content: str) -> None:
    """Nothing that a caller writes makes the parser raise anything else."""
    with suppress(ScriptError):
        parse(content)
