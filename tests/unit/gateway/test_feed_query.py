"""What a follower may ask for, and what is refused with which code."""

from __future__ import annotations

import pytest

from abbotik_gateway.domain.follow_query import read_follow, read_rooms
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.domain.sse import Variant

A = "0197a000-0000-7000-8000-00000000000a"
B = "0197a000-0000-7000-8000-00000000000b"


def test_the_header_wins_over_the_query() -> None:
    """A reconnect's `Last-Event-ID` counts, then `after`, then the beginning."""
    assert read_follow({}, None).after == 0
    assert read_follow({"after": "5"}, None).after == 5
    assert read_follow({"after": "5"}, "9").after == 9
    assert read_follow({"after": "5"}, "").after == 5
    assert read_follow({"after": str(2**63 - 1)}, None).after == 2**63 - 1


@pytest.mark.parametrize(
    "position",
    ["abc", "-1", "1.5", "1e3", "+1", " 1", "01", "٣", "0x1", str(2**63), "9" * 10_240, f"{A}:1"],
)
def test_a_malformed_position_is_refused(position: str) -> None:
    """Anything that no answer gave is CURSOR_INVALID, in the query as in the header."""
    for query, header in (({"after": position}, None), ({}, position)):
        with pytest.raises(Problem) as caught:
            read_follow(query, header)
        assert (caught.value.code, caught.value.status) == ("CURSOR_INVALID", 400)


def test_an_empty_after_is_refused() -> None:
    """`?after=` without a number is no position."""
    with pytest.raises(Problem):
        read_follow({"after": ""}, None)


def test_flags_and_types() -> None:
    """`named`, `follow` and `types` shape the stream."""
    found = read_follow({"named": "false", "follow": "false", "types": "error,actor:output"}, None)
    assert not found.stay
    assert found.variant == Variant(named=False, types=frozenset({"error", "actor:output"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("named", "maybe"), ("follow", ""), ("types", ""), ("types", "a,,b"), ("types", "A\n")],
)
def test_wrong_flags_are_refused(name: str, value: str) -> None:
    """A parameter that cannot be read is VALIDATION_FAILED with its pointer."""
    with pytest.raises(Problem) as caught:
        read_follow({name: value}, None)
    assert caught.value.code == "VALIDATION_FAILED"
    assert f"/query/{name}" in str(caught.value.body("/"))


def test_rooms_with_and_without_positions() -> None:
    """`?rooms=a:17,b` says where each begins; the header moves the room that it names."""
    assert read_rooms({"rooms": f"{A}:17,{B}"}, None) == {A: 17, B: 0}
    assert read_rooms({"rooms": f"{A}:17,{B}"}, f"{B}:4") == {A: 17, B: 4}


@pytest.mark.parametrize(
    ("rooms", "header", "code"),
    [
        ("", None, "VALIDATION_FAILED"),
        (",".join([A] * 101), None, "VALIDATION_FAILED"),
        (f"{A},{A}", None, "VALIDATION_FAILED"),
        ("nonsense", None, "ROOM_NOT_FOUND"),
        (f"{A.upper()}", None, "ROOM_NOT_FOUND"),
        (f"{A}:", None, "CURSOR_INVALID"),
        (f"{A}:x", None, "CURSOR_INVALID"),
        (A, f"{B}:1", "CURSOR_INVALID"),
        (A, "17", "CURSOR_INVALID"),
    ],
)
def test_wrong_rooms_are_refused(rooms: str, header: str | None, code: str) -> None:
    """Each fault has its code."""
    with pytest.raises(Problem) as caught:
        read_rooms({"rooms": rooms}, header)
    assert caught.value.code == code
