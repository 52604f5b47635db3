"""The checker sees a product that is broken on purpose: real processes, one build for each harm."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.checker import violations
from tests.faults.history import Fault
from tests.faults.load import Load
from tests.faults.rules.violation import Kind, Violation
from tests.faults.sabotage.stack import SabotagedStack
from tests.faults.stored import Stored

ROOMS = 6
WRITERS = 4
POSTS = 30
# A broken build loses messages: whoever waits for their turns waits in vain.
PATIENCE_S = 4.0
SOUND_PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SabotagedStack]:
    """Yield one stack, whose services the tests of this file replace in turn."""
    with SabotagedStack(tmp_path_factory.mktemp("sabotage")) as running:
        yield running


async def test_the_sound_build_is_sound(stack: SabotagedStack) -> None:
    """The load that shows each sabotage shows nothing where there is none."""
    stack.run_as(None)
    assert await _found(stack, SOUND_PATIENCE_S) == []


@pytest.mark.parametrize(
    ("build", "promise", "kind"),
    [
        ("short_replay", "I8/C4", Kind.LOST),
        ("doubled_seq", "I8/C4", Kind.DOUBLED),
        ("missing_event", "I1", Kind.LOST),
        ("next_rev", "I1", Kind.DOUBLED),
    ],
)
async def test_sabotage_is_found(
    stack: SabotagedStack, build: str, promise: str, kind: Kind
) -> None:
    """The checker names the harm that the build does."""
    stack.run_as(build)
    found = await _found(stack, PATIENCE_S)
    assert (promise, kind) in {(one.promise, one.kind) for one in found}


async def _found(stack: SabotagedStack, within_s: float) -> list[Violation]:
    """Run the load on fresh rooms and return what the checker says."""
    load = Load({"gateway": stack.url}, stack.token, 0, rooms=ROOMS, writers=WRITERS, posts=POSTS)
    nothing = Fault("", "", time.time(), time.time())
    with Stored(stack.mongo_url, stack.database) as stored:
        async with load.running():
            await load.wind_down(within_s)
            history = await load.history(nothing, stored, within_s)
    return violations(history)
