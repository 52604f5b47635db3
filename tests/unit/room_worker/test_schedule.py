"""The times of a schedule: once, every so often, by a cron line in a zone; and useless ones."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from abbotik_contracts.policies import Schedule
from abbotik_kernel.clock import rfc3339
from abbotik_room_worker.domain.schedule import SHOWN, faults, next_times, times

NOW = int(datetime(2026, 3, 28, 12, 0, 0, tzinfo=UTC).timestamp() * 1000)


def _shown(schedule: Schedule, after: int = NOW) -> list[str]:
    return [rfc3339(at) for at in next_times(schedule, after)]


def test_no_schedule_has_no_times() -> None:
    """A room without a schedule wakes only when somebody wakes it."""
    assert next_times(None, NOW) == ()


def test_once_is_shown_until_it_is_over() -> None:
    """An `at` has one time, to the millisecond, in whatever offset it was given."""
    schedule = Schedule(at="2026-03-28T14:00:00.250+01:00")
    assert _shown(schedule) == ["2026-03-28T13:00:00.250Z"]
    assert _shown(schedule, NOW + 3_600_250) == []


def test_interval_counts_from_its_start() -> None:
    """The first time is one interval on; the next ones follow without a gap."""
    assert next_times(Schedule(every_s=90), NOW) == tuple(
        NOW + 90_000 * n for n in range(1, SHOWN + 1)
    )


def test_cron_follows_its_zone_over_a_change_of_clocks() -> None:
    """An hour that the clocks skip fires right behind it; one that comes twice fires once."""
    nightly = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    assert _shown(nightly)[:3] == [
        "2026-03-29T01:00:00.000Z",
        "2026-03-30T00:30:00.000Z",
        "2026-03-31T00:30:00.000Z",
    ]
    before = int(datetime(2026, 10, 24, 12, tzinfo=UTC).timestamp() * 1000)
    assert _shown(nightly, before)[:2] == ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"]


@given(
    after=st.integers(NOW, NOW + 10**11),
    schedule=st.one_of(
        st.builds(Schedule, every_s=st.integers(1, 100_000)),
        st.builds(
            Schedule,
            cron=st.sampled_from(["*/7 * * * *", "0 9 * * 1-5", "5 4 1 * *", "30 2 * * *"]),
            timezone=st.sampled_from([None, "Europe/Berlin", "Asia/Kathmandu", "America/New_York"]),
        ),
    ),
)
def test_times_are_ahead_and_in_order(after: int, schedule: Schedule) -> None:
    """Every time is behind the last one, and going on from any of them gives the same rest."""
    found = list(itertools.islice(times(schedule, after), 6))
    assert found[0] > after
    assert found == sorted(set(found))
    assert list(itertools.islice(times(schedule, found[2]), 3)) == found[3:]


@pytest.mark.parametrize(
    ("members", "member", "says"),
    [
        ({"at": "tomorrow"}, "at", "no RFC 3339 time"),
        ({"at": "2026-03-29T12:00:00"}, "at", "has no offset"),
        ({"at": "2026-03-28T11:59:59Z"}, "at", "has passed"),
        ({"cron": "* * * *"}, "cron", "five fields"),
        ({"cron": "* * * * * *"}, "cron", "five fields"),
        ({"cron": "61 * * * *"}, "cron", "no cron line"),
        ({"cron": "0 0 30 2 *"}, "cron", "no cron line"),
        ({"cron": "0 9 * * *", "timezone": "Mars/Olympus"}, "timezone", "no IANA time zone"),
        ({"cron": "0 9 * * *", "timezone": "../../etc/passwd"}, "timezone", "no IANA time zone"),
        ({"cron": "0 9 * * *", "timezone": ""}, "timezone", "no IANA time zone"),
    ],
)
def test_useless_schedule_is_named(members: dict[str, str], member: str, says: str) -> None:
    """The member that is wrong, and what is wrong with it."""
    ((name, text),) = faults(Schedule(**members), NOW)  # type: ignore[arg-type]  # strings all
    assert name == member
    assert says in text


@pytest.mark.parametrize(
    "members", [{"at": "2026-03-29T12:00:00Z"}, {"every_s": 1}, {"cron": "0 9 * * 1-5"}]
)
def test_sound_schedule_has_no_faults(members: dict[str, str | int]) -> None:
    """Each kind passes."""
    assert faults(Schedule(**members), NOW) == []  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    "members",
    [{}, {"at": "x", "every_s": 1}, {"every_s": 1, "timezone": "UTC"}, {"every_s": 0}],
)
def test_schedule_is_of_one_kind(members: dict[str, str | int]) -> None:
    """None, two, or a zone where there is nothing to read in it is refused."""
    with pytest.raises(ValidationError):
        Schedule(**members)  # type: ignore[arg-type]  # as above
