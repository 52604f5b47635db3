"""Reading a request's JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.domain.strict_json import MAX_INTEGER, MAX_VALUES, read_object

UNREADABLE = {
    "not JSON": b"nope",
    "truncated": b'{"a": 1',
    "trailing": b'{"a": 1} x',
    "doubled name": b'{"a": 1, "a": 2}',
    "doubled name inside": b'{"x": [{"a": 1, "a": 2}]}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "1e400": b'{"a": 1e400}',
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-16 without mark": '{"a": 1}'.encode("utf-16-le"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "lone surrogate": b'{"a": "\\ud800"}',
    "lone surrogate in a name": b'{"\\udfff": 1}',
    "surrogate as UTF-8": b'{"a": "\xed\xa0\x80"}',
    "raw control character": b'{"a": "\x01"}',
    "33 levels": b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    "100 000 levels": b'{"a":' * 100_000,
    "100 000 brackets": b"[" * 100_000,
    "single quotes": b"{'a': 1}",
    "comment": b'{"a": 1 /* one */}',
    "integer of 5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "only white space": b"  ",
}

UNFIT = {
    "U+0000": (b'{"a": "x\\u0000"}', "/a"),
    "U+0000 in a name": (b'{"x": {"a\\u0000": 1}}', "/x/a\N{REPLACEMENT CHARACTER}"),
    "backspace": (b'{"a": ["\\b"]}', "/a/0"),
    "escape": (b'{"a/b": "\\u001b[31m"}', "/a~1b"),
    "U+007F": (b'{"a": "\x7f"}', "/a"),
    "U+0085": ('{"a": "\x85"}'.encode(), "/a"),
    "2^53 + 1": (b'{"a": {"b": 9007199254740993}}', "/a/b"),
    "-2^63": (b'{"a": -9223372036854775808}', "/a"),
    "1001 items": (json.dumps({"a": [0] * 1001}).encode(), "/a"),
    "1001 members": (json.dumps({f"m{n}": 0 for n in range(1001)}).encode(), ""),
    "too many values": (json.dumps({"a": [[0] * 1000] * 21}).encode(), ""),
}

FIT = {
    "empty": (b"", {}),
    "white space around": (b' \n{"a": 1}\t', {"a": 1}),
    "tab, LF, CR": (b'{"a": "\\t\\n\\r"}', {"a": "\t\n\r"}),
    "32 levels": (b'{"a":' + b"[" * 31 + b"]" * 31 + b"}", None),
    "2^53": (b'{"a": 9007199254740992}', {"a": MAX_INTEGER}),
    "surrogate pair": (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    "marks of direction": ('{"a": "\u202e"}'.encode(), {"a": "\u202e"}),
    "names that mean something elsewhere": (
        b'{"$where": 1, "a.b": 2, "__proto__": 3, "": 4}',
        {"$where": 1, "a.b": 2, "__proto__": 3, "": 4},
    ),
    "1e-400": (b'{"a": 1e-400}', {"a": 0.0}),
}


def _faults(problem: Problem) -> Any:
    return problem.extra["errors"]


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_in_one_way_only_is_refused(data: bytes) -> None:
    """400 INVALID_REQUEST_BODY."""
    with pytest.raises(Problem) as caught:
        read_object(data)
    assert (caught.value.status, caught.value.code) == (400, "INVALID_REQUEST_BODY")


@pytest.mark.parametrize("data", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """400 BODY_NOT_OBJECT."""
    with pytest.raises(Problem) as caught:
        read_object(data)
    assert (caught.value.status, caught.value.code) == (400, "BODY_NOT_OBJECT")


@pytest.mark.parametrize(("data", "where"), UNFIT.values(), ids=UNFIT)
def test_what_must_not_be_kept_is_named(data: bytes, where: str) -> None:
    """422 VALIDATION_FAILED with the pointer, which is itself safe to show."""
    with pytest.raises(Problem) as caught:
        read_object(data)
    assert (caught.value.status, caught.value.code) == (422, "VALIDATION_FAILED")
    assert [fault["pointer"] for fault in _faults(caught.value)] == [where]


@pytest.mark.parametrize(("data", "value"), FIT.values(), ids=FIT)
def test_all_else_is_read(data: bytes, value: object) -> None:
    """What both kinds of rules let through is read as it is."""
    assert read_object(data) == (json.loads(data) if value is None else value)


def test_every_fault_is_listed_up_to_fifty() -> None:
    """One answer names all faults, and is bounded."""
    with pytest.raises(Problem) as caught:
        read_object(json.dumps({f"a{n}": "\x00" for n in range(200)}).encode())
    assert len(_faults(caught.value)) == 50


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs", "Cc"))), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs", "Cc"))), _VALUES))
def test_any_plain_object_is_read_as_json_reads_it(value: dict[str, object]) -> None:
    """Whatever is plain JSON comes through, however it is escaped."""
    for ascii_only in (True, False):
        data = json.dumps(value, ensure_ascii=ascii_only).encode()
        assert read_object(data) == value


@given(st.binary(max_size=200))
def test_no_bytes_are_a_fault_of_ours(data: bytes) -> None:
    """Any bytes are read or refused."""
    try:
        found: object = read_object(data)
    except Problem as problem:
        found = problem.status
    assert isinstance(found, dict) or found in {400, 422}


def test_the_walk_is_bounded() -> None:
    """The bound on values is above what a body of ours holds and below what takes long."""
    assert 10_000 <= MAX_VALUES <= 50_000
