"""The API does what its OpenAPI document says, for requests that nobody thought of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis.checks import CheckFunction
from schemathesis.core import result as schemathesis_result
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.stack import Stack

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api" / "openapi.json"
EXAMPLES = 12

# Streams that follow a room never end; they have tests of their own.
API = schemathesis.openapi.from_path(DOCUMENT).exclude(path_regex=r"/events$")
# A schema cannot say all that a text must not be (blank, or with control characters in it), so a
# request that it allows may still be refused with 422.
NOT_PROMISED: list[CheckFunction] = [positive_data_acceptance]
OPERATIONS = [
    found.ok() for found in API.get_all_operations() if isinstance(found, schemathesis_result.Ok)
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack of real processes."""
    with Stack(tmp_path_factory.mktemp("openapi")) as running:
        yield running


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda found: found.label)
def test_answers_are_those_that_the_document_promises(
    operation: schemathesis.APIOperation[Any, Any, Any, Any], stack: Stack
) -> None:
    """No request gets a 500, an undocumented status, or a body of another shape.

    Half of the requests that name a room name one that is there.
    """
    room = httpx.post(f"{stack.url}/llm/room", headers=stack.headers).json()["data"]["id"]

    @given(case=operation.as_strategy(), known=strategies.booleans())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def answers(case: schemathesis.Case[Any], known: bool) -> None:
        if known and "room_id" in case.path_parameters:
            case.path_parameters = {**case.path_parameters, "room_id": room}
        case.call_and_validate(
            base_url=stack.url, headers=stack.headers, timeout=15, excluded_checks=NOT_PROMISED
        )

    answers()
