"""The checker sees a product that is broken on purpose: real processes, one build for each harm."""

from __future__ import annotations

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
# With this one three writers begin with a long turn that they interrupt, and two of the four go on
# with a wake that brings a message.
SEED = 199_815
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
    ("build", "promise", "kind", "within_s"),
    [
        ("short_replay", "I8/C4", Kind.LOST, PATIENCE_S),
        ("doubled_seq", "I8/C4", Kind.DOUBLED, PATIENCE_S),
        ("missing_event", "I1", Kind.LOST, PATIENCE_S),
        ("next_rev", "I1", Kind.DOUBLED, PATIENCE_S),
        ("hasty_heir", "I6/C5", Kind.OTHER, PATIENCE_S),
        # These lose no message; turns that do not hear of their interrupt take their time.
        ("deaf", "I3", Kind.OTHER, SOUND_PATIENCE_S),
        ("skipped_wake", "I2/C1", Kind.LOST, SOUND_PATIENCE_S),
        ("old_times", "I2/C1", Kind.DOUBLED, SOUND_PATIENCE_S),
        ("mute_wake", "I2/C1", Kind.LOST, SOUND_PATIENCE_S),
    ],
)
async def test_sabotage_is_found(
    stack: SabotagedStack, build: str, promise: str, kind: Kind, within_s: float
) -> None:
    """The checker names the harm that the build does."""
    stack.run_as(build)
    found = await _found(stack, within_s)
    assert (promise, kind) in {(one.promise, one.kind) for one in found}


async def _found(stack: SabotagedStack, within_s: float) -> list[Violation]:
    """Run the load on fresh rooms and return what the checker says."""
    gateways = {"gateway": stack.url}
    load = Load(gateways, stack.token, SEED, rooms=ROOMS, writers=WRITERS, posts=POSTS)
    # Long ago, so that it excuses nothing.
    nothing = Fault("", "", 0.0, 0.0)
    with Stored(stack.mongo_url, stack.database) as stored:
        async with load.running():
            await load.wind_down(within_s)
            history = await load.history(nothing, stored, within_s)
    return violations(history)
