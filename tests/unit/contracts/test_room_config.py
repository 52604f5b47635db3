"""Configuration and policies of a room: defaults, refusals, staffing, merge patch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from abbotik_contracts.policies import (
    DonePolicy,
    Schedule,
    ToolPolicy,
    TurnPolicy,
    WakePolicy,
    unsupported,
)
from abbotik_contracts.room_config import RoomConfig, merge_patch

_names = st.sampled_from(["a", "b", "c"])
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, 3) | st.text("xy", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(_names, _json, max_size=3)


def test_an_empty_configuration_has_every_default() -> None:
    """What nobody set is stored as the API promises."""
    assert RoomConfig().model_dump(mode="json", exclude_none=True) == {
        "purpose": "",
        "actors": [{"role": "assistant", "adapter": "native", "skills": []}],
        "turn_policy": {"mode": "first"},
        "tool_policy": {"mode": "deny", "tools": [], "approval": {}},
        "wake_policy": {"mode": "on_message"},
        "done_policy": {"mode": "explicit"},
        "mcp_servers": [],
        "metadata": {},
        "summary_text": "",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"strange": 1},
        {"purpose": 7},
        {"purpose": "x" * 4097},
        {"actors": []},
        {"actors": [{"agent_id": "a b"}]},
        {"actors": [{"agent_id": "twin"}, {"agent_id": "twin"}]},
        {"actors": [{"adapter": "other"}]},
        {"wake_policy": {"sleep_after_s": 0}},
        {"wake_policy": {"sleep_after_s": True}},
        {"wake_policy": {"sleep_after_s": "5"}},
        {"tool_policy": {"mode": "maybe"}},
        {"tool_policy": {"approval": {"echo": "sometimes"}}},
        {"done_policy": {"max_turns": 0}},
        {"metadata": []},
    ],
)
def test_wrong_configuration_is_refused(wrong: dict[str, JsonValue]) -> None:
    """Unknown members, wrong types and values out of bounds never pass."""
    with pytest.raises(ValidationError):
        RoomConfig.model_validate(wrong)


def test_staffing_gives_every_actor_an_id_a_provider_and_a_model() -> None:
    """Unnamed actors are numbered by place; the default model goes only to the default provider."""
    config = RoomConfig.model_validate(
        {
            "actors": [
                {},
                {"agent_id": "critic", "provider": "elsewhere"},
                {"provider": "scripted"},
                {"agent_id": "exact", "provider": "elsewhere", "model": "m-1"},
            ]
        }
    ).staffed("scripted", "scripted-1")
    assert [(a.agent_id, a.provider, a.model) for a in config.actors] == [
        ("assistant-1", "scripted", "scripted-1"),
        ("critic", "elsewhere", None),
        ("assistant-3", "scripted", "scripted-1"),
        ("exact", "elsewhere", "m-1"),
    ]


def test_staffing_twice_changes_nothing() -> None:
    """A configuration that was staffed at rent comes out of a patch as it was."""
    once = RoomConfig().staffed("scripted", "scripted-1")
    assert once.staffed("other", "other-1") == once


@pytest.mark.parametrize(
    ("config", "pointers"),
    [
        ({}, []),
        ({"turn_policy": TurnPolicy(mode="coordinator")}, ["/turn_policy/mode"]),
        ({"tool_policy": ToolPolicy(approval={"a/b": "always", "c": "never"})},
         ["/tool_policy/approval/a~1b"]),
        ({"wake_policy": WakePolicy(schedule=Schedule(every_s=5))}, []),
        ({"wake_policy": WakePolicy(mode="explicit", sleep_after_s=5)}, []),
        ({"done_policy": DonePolicy(mode="max_turns", max_turns=3)},
         ["/done_policy/mode", "/done_policy/max_turns"]),
        ({"done_policy": DonePolicy(then="sleep")}, ["/done_policy/then"]),
        ({"mcp_servers": [{"url": "x"}]}, ["/mcp_servers"]),
    ],
)  # fmt: skip
def test_mechanisms_that_are_not_built_are_named(
    config: dict[str, object], pointers: list[str]
) -> None:
    """Each member whose mechanism is missing is pointed at; all others pass."""
    assert unsupported(config) == pointers


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_rfc_7396(
    target: JsonValue, patch: JsonValue, result: JsonValue
) -> None:
    """The examples of the RFC's appendix come out as printed there."""
    assert merge_patch(target, patch) == result


@given(_objects, _objects)
def test_merge_patch_is_idempotent_and_pure(
    target: dict[str, JsonValue], patch: dict[str, JsonValue]
) -> None:
    """Patching twice is patching once, and the arguments stay as they were."""
    before = repr((target, patch))
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert repr((target, patch)) == before
