"""Canonical JSON: the fast way and the reference agree on everything that JSON can say."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from abbotik_contracts.room_log import Record
from abbotik_contracts.room_views import wire_event
from abbotik_runtime.canonical import canonical, hashed

_EXACT = 2**53
# All of Unicode but surrogates, which no UTF-8 text holds; many from where UTF-16 sorts otherwise.
_CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from(
    '\x00\x1f"\\\x7fé€\ue000😀'
)
_TEXTS = st.text(_CHARACTERS, max_size=8)
_NUMBERS = st.integers(1 - _EXACT, _EXACT - 1) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=20,
)
_RECORDS = st.dictionaries(_TEXTS, _VALUES, max_size=6)


@given(_RECORDS)
@example({"\ue000": 1, "😀": 2, "é": 3, "a": 4})
@example({"a": 1e21, "b": 1e-7, "c": -0.0, "d": 0.1, "e": 100.0})
@example({"b": {"\n": [], "": {}}, "a": "\u2028\x7f\x00</script>"})
def test_canonical_form_is_the_references(record: Record) -> None:
    """Whichever way is taken inside, the bytes are those of RFC 8785."""
    assert canonical(record) == rfc8785.dumps(record)


@given(st.dictionaries(st.text(st.characters(max_codepoint=127)), _TEXTS | st.integers(0, 9)))
def test_fast_way_is_taken_for_plain_records(record: Record) -> None:
    """ASCII names with texts and integers are the bulk of events; there too the bytes agree."""
    assert canonical(record) == rfc8785.dumps(record)


@given(_RECORDS, st.none() | _TEXTS, st.integers(1, _EXACT - 1))
def test_event_is_hashed_and_written_once(payload: Record, actor: str | None, seq: int) -> None:
    """The line reads back as the event and its hash; the hash is over the canonical form."""
    event = wire_event(
        room="0198a1b2-0000-7000-8000-000000000001",
        seq=seq,
        epoch=1,
        policy_version=1,
        created_at="1970-01-01T00:00:00.000Z",
        prev_hash="0" * 64,
        event_id="0198a1b2-0000-7000-8000-000000000002",
        event_type="actor:output",
        actor=actor,
        payload=payload,
        turn=None,
    )
    assert list(event) == sorted(event)
    digest, line = hashed(event)
    assert digest == sha256(rfc8785.dumps(event)).hexdigest()
    assert b"\n" not in line
    # JSON has one kind of number: 1e16 is written without a point.
    assert json.loads(line, parse_int=float) == {"hash": digest, **event}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_json_cannot_say_is_an_error(number: float) -> None:
    """No event is hashed over a number that no reader could read."""
    with pytest.raises(rfc8785.FloatDomainError):
        canonical({"n": number})
