"""Validation faults as the API lists them, and the table of errors."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from abbotik_contracts.errors import ERRORS, TURN_ERRORS
from abbotik_contracts.faults import faults, pointer
from abbotik_contracts.frozen import Frozen
from abbotik_contracts.room_bodies import MessageBody, RentBody


def _faults_of(model: type[Frozen], body: object, prefix: str = "") -> list[dict[str, str]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    return faults(caught.value, prefix)


def test_pointer_escapes_as_rfc_6901_asks() -> None:
    """A tilde becomes ~0 and a slash ~1; places in a list are numbers."""
    assert pointer(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"
    assert pointer(()) == ""


def test_each_fault_has_the_pointer_of_its_member() -> None:
    """Every wrong member is listed, nested ones by their path."""
    found = _faults_of(RentBody, {"purpose": 1, "wake_policy": {"sleep_after_s": 0}, "odd": 1})
    assert [fault["pointer"] for fault in found] == [
        "/purpose",
        "/wake_policy/sleep_after_s",
        "/odd",
    ]


def test_branches_of_a_union_are_no_members() -> None:
    """A content that is neither string nor blocks is one pointer, not pydantic's branch names."""
    found = _faults_of(MessageBody, {"content": 7})
    assert {fault["pointer"] for fault in found} == {"/content"}


def test_own_sentence_stands_without_a_prefix() -> None:
    """Our own validators' sentences reach the caller as they are written."""
    assert _faults_of(MessageBody, {"content": " "}) == [
        {"pointer": "/content", "message": "`content` is blank"}
    ]


def test_value_that_was_sent_is_not_repeated() -> None:
    """A secret in the wrong place does not come back in the answer."""
    found = _faults_of(RentBody, {"purpose": ["hunter2"]})
    assert "hunter2" not in str(found)


def test_list_of_faults_is_bounded() -> None:
    """A body that is wrong in a thousand places gets fifty sentences."""
    assert len(_faults_of(RentBody, {f"x{n}": n for n in range(1000)})) == 50


def test_prefix_stands_before_every_pointer() -> None:
    """Faults of a part point from the whole."""
    assert _faults_of(RentBody, {"odd": 1}, "/body")[0]["pointer"] == "/body/odd"


def test_error_codes_are_words_with_a_status() -> None:
    """Each row is keyed by its code; each code is upper case and answers with 4xx or 5xx."""
    for code, row in ERRORS.items():
        assert code == row.code
        assert re.fullmatch(r"[A-Z][A-Z_]+", code)
        assert 400 <= row.status < 600


def test_no_code_stands_in_both_tables() -> None:
    """A turn's error is never an HTTP status, and the other way round."""
    assert not set(ERRORS) & set(TURN_ERRORS)
    assert all(row.status == 0 for row in TURN_ERRORS.values())
