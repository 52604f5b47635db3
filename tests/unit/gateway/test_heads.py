"""Headers and query parameters: ETag, If-Match, Prefer, Accept, keys, cursors, limits."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abbotik_gateway.domain.accepts import prefers
from abbotik_gateway.domain.etag import etag, read_if_match
from abbotik_gateway.domain.keyed import read_key
from abbotik_gateway.domain.paging import (
    ListPlace,
    list_cursor,
    next_link,
    read_limit,
    read_list_cursor,
    read_seq,
    read_seq_cursor,
    write_cursor,
)
from abbotik_gateway.domain.prefer import read_wait
from abbotik_gateway.domain.problem import Problem


@pytest.mark.parametrize(
    ("values", "versions"),
    [
        ([], None),
        (["*"], None),
        (['"3"'], [3]),
        (['"3", "4"'], [3, 4]),
        (['"3"', '"4"'], [3, 4]),
        (['W/"3"'], [0]),
        (['"abc"'], [0]),
        (['"03"'], [0]),
        (['""'], [0]),
        (['"99999999999999999999"'], [0]),
    ],
)
def test_if_match_allows_versions(values: list[str], versions: list[int] | None) -> None:
    """Strong tags of ours allow their version; others, none that a room can have."""
    assert read_if_match(values) == versions
    assert etag(3) == '"3"'


@pytest.mark.parametrize("value", ["3", "abc", '"3', '"3",', '"3" "4"', "W/3", ""])
def test_if_match_must_be_a_list_of_tags(value: str) -> None:
    """What is no list of entity tags is 400 HEADER_INVALID."""
    with pytest.raises(Problem, match="HEADER_INVALID"):
        read_if_match([value])


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], None),
        (["wait=5"], 5),
        (["wait=0"], 0),
        (["WAIT = 5"], 5),
        (['wait="7"'], 7),
        (["wait=99999"], 50),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait=10"], 10),
        (["wait=3, wait=9"], 3),
        (["wait=5; x=y"], 5),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait"], None),
        (["wait=soon"], None),
        (["await=5"], None),
        ([""], None),
    ],
)
def test_prefer_wait_is_read(values: list[str], seconds: int | None) -> None:
    """The first readable preference counts, 50 s at most; an unreadable one is none."""
    assert read_wait(values) == seconds


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], False),
        (["*/*"], False),
        (["text/*"], False),
        (["text/html"], True),
        (["TEXT/HTML;q=0.5, */*"], True),
        (["application/json", "text/html"], True),
        (["text/html;q=0"], False),
        (["text/html; q=0.000"], False),
        (["text/html;level=1;q=0.001"], True),
        (["text/htmlx"], False),
        ([";;,,"], False),
    ],
)
def test_accept_must_name_the_type(values: list[str], wanted: bool) -> None:
    """Wildcards are no wish for HTML or a stream."""
    assert prefers(values, "text/html") is wanted


@pytest.mark.parametrize("key", ["a", "x" * 255, "a b", "~!@#", "0f8f-…"[:5]])
def test_a_key_is_printable_ascii(key: str) -> None:
    """Up to 255 characters, one header, white space around it does not count."""
    assert read_key([f" {key} "]) == key
    assert read_key([]) is None


@pytest.mark.parametrize("values", [[""], ["x" * 256], ["\x7f"], ["é"], ["a\x00"], ["a", "b"]])
def test_other_keys_are_refused(values: list[str]) -> None:
    """400 HEADER_INVALID."""
    with pytest.raises(Problem, match="HEADER_INVALID"):
        read_key(values)


@pytest.mark.parametrize(("text", "limit"), [(None, 1000), ("1", 1), ("1000", 1000), ("007", 7)])
def test_a_limit_is_read(text: str | None, limit: int) -> None:
    """1 to 1000, 1000 by default."""
    assert read_limit({} if text is None else {"limit": text}) == limit


@pytest.mark.parametrize(
    "text", ["", "0", "1001", "-1", "+1", "1.0", " 1", "x", "\u0663", "1" * 5000]
)
def test_other_limits_are_refused(text: str) -> None:
    """422 with the parameter's pointer."""
    with pytest.raises(Problem) as caught:
        read_limit({"limit": text})
    assert caught.value.code == "VALIDATION_FAILED"
    with pytest.raises(Problem):
        read_seq({"after_seq": text if text not in {"0", "1001"} else "x"}, "after_seq")


def test_a_position_is_read() -> None:
    """0 to 2^53, None where it is absent."""
    assert read_seq({}, "after_seq") is None
    assert read_seq({"after_seq": "0"}, "after_seq") == 0
    assert read_seq({"after_seq": str(2**53)}, "after_seq") == 2**53
    with pytest.raises(Problem):
        read_seq({"after_seq": str(2**53 + 1)}, "after_seq")


@given(st.booleans(), st.integers(0, 2**45), st.uuids())
def test_a_cursor_comes_back_as_its_place(released: bool, at: int, room: object) -> None:
    """What was written is read, under the same kind only."""
    place = ListPlace(released, at, str(room))
    cursor = list_cursor("rooms", place)
    assert read_list_cursor("rooms", cursor) == place
    with pytest.raises(Problem, match="CURSOR_INVALID"):
        read_list_cursor("others", cursor)


@given(st.text(max_size=60))
def test_a_made_up_cursor_is_refused(text: str) -> None:
    """Nothing but our own cursors is read, and nothing is a fault of ours."""
    with pytest.raises(Problem, match="CURSOR_INVALID"):
        read_list_cursor("rooms", text)


@given(st.data())
def test_a_changed_cursor_is_refused(data: st.DataObject) -> None:
    """One other character anywhere, and it is no cursor."""
    cursor = write_cursor("messages", [17])
    place = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019-_"))
    changed = cursor[:place] + letter + cursor[place + 1 :]
    if changed == cursor:
        assert read_seq_cursor("messages", changed) == 17
        return
    with pytest.raises(Problem, match="CURSOR_INVALID"):
        read_seq_cursor("messages", changed)


def test_a_cursor_of_another_shape_is_refused() -> None:
    """A good seal on what is no place of the list."""
    for place in ([True], ["x"], [1, 2, 3], []):
        cursor = write_cursor("k", list(place))
        with pytest.raises(Problem, match="CURSOR_INVALID"):
            read_list_cursor("k", cursor)
    for place in ([True], ["1"], [1, 2]):
        with pytest.raises(Problem, match="CURSOR_INVALID"):
            read_seq_cursor("k", write_cursor("k", list(place)))
    padded = write_cursor("k", [1]) + base64.urlsafe_b64encode(b"").decode() + "A"
    with pytest.raises(Problem, match="CURSOR_INVALID"):
        read_seq_cursor("k", padded)


def test_a_link_keeps_the_question() -> None:
    """The next page asks the same, and nothing in a parameter can end the header."""
    link = next_link("/llm/room", {"name": "a>\r\nx: y", "cursor": "old"}, "new")
    assert link == '</llm/room?name=a%3E%0D%0Ax%3A+y&cursor=new>; rel="next"'
