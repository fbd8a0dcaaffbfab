"""Quiet hours over every kind of zone and both clock changes. The oracle looks at the wall clock, minute by minute."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.quiet_hours import QuietHours, QuietHoursIn, released_at

# an hour's change, half an hour's (Lord Howe), one at midnight (Havana, Santiago), none, far east and west, :45
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "America/Santiago",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
    "UTC",
)
MINUTE = timedelta(minutes=1)
wall_times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
near_a_change = st.sampled_from(
    [(2026, 3, 8), (2026, 3, 29), (2026, 4, 5), (2026, 9, 6), (2026, 10, 4), (2026, 10, 25), (2026, 11, 1), (2011, 12, 30)]
).flatmap(lambda day: st.integers(-36 * 60, 60 * 60).map(lambda minutes: datetime(*day, tzinfo=UTC) + minutes * MINUTE))
any_time = st.integers(0, 2 * 366 * 24 * 60).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE)
moments = near_a_change | any_time
windows = st.tuples(wall_times, wall_times, st.sampled_from(ZONES)).filter(lambda found: found[0] != found[1])


def says_quiet(moment: datetime, quiet: QuietHours, zone: ZoneInfo) -> bool:
    """What somebody who looks at the clock on the wall would say."""
    at = moment.astimezone(zone).time().replace(tzinfo=None, fold=0)
    if quiet.start < quiet.end:
        return quiet.start <= at < quiet.end
    return at >= quiet.start or at < quiet.end


def is_near_a_clock_set_back(moment: datetime, zone: ZoneInfo) -> bool:
    offsets = [(moment + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in (-3, 0, 3)]
    return offsets[0] != offsets[1] or offsets[1] != offsets[2]


def a_window(start: str, end: str, zone: str = "Europe/Berlin") -> QuietHours:
    return QuietHours(start=time.fromisoformat(start), end=time.fromisoformat(end), zone=zone)


@settings(max_examples=400, deadline=None)
@given(moments, windows)
def test_it_is_quiet_when_the_clock_says_so(now: datetime, window: tuple[time, time, str]) -> None:
    quiet, zone = QuietHours(start=window[0], end=window[1], zone=window[2]), ZoneInfo(window[2])
    held = released_at(now, quiet, zone) is not None
    if says_quiet(now, quiet, zone):
        assert held
    elif held:
        assert is_near_a_clock_set_back(now, zone), "only a time that comes twice makes a window longer"


@settings(max_examples=300, deadline=None)
@given(moments, windows)
def test_the_release_is_the_first_moment_that_is_not_quiet(now: datetime, window: tuple[time, time, str]) -> None:
    quiet, zone = QuietHours(start=window[0], end=window[1], zone=window[2]), ZoneInfo(window[2])
    released = released_at(now, quiet, zone)
    if released is None:
        return
    assert now < released <= now + timedelta(hours=51)
    assert released_at(released, quiet, zone) is None, "a timer that fires then sends"
    assert not says_quiet(released, quiet, zone)
    for part in range(8):
        between = now + (released - now) * part / 8
        assert released_at(between, quiet, zone) == released, "nothing in between is let out"


@pytest.mark.parametrize(
    ("now", "window", "released"),
    [
        ("2026-06-01T20:00Z", ("22:00", "07:00"), "2026-06-02T05:00Z"),  # over midnight, CEST
        ("2026-06-02T04:59Z", ("22:00", "07:00"), "2026-06-02T05:00Z"),
        ("2026-06-02T05:00Z", ("22:00", "07:00"), None),  # the end is not part of it
        ("2026-12-01T12:00Z", ("12:00", "14:00"), "2026-12-01T13:00Z"),  # within one day, CET
        ("2026-03-28T22:00Z", ("22:00", "07:00"), "2026-03-29T05:00Z"),  # that night is an hour shorter
        ("2026-10-24T22:00Z", ("22:00", "07:00"), "2026-10-25T06:00Z"),  # and this one an hour longer
        ("2026-03-29T00:30Z", ("00:00", "02:30"), "2026-03-29T01:00Z"),  # ends in the gap: at the jump
        ("2026-03-29T01:00Z", ("02:30", "06:00"), "2026-03-29T04:00Z"),  # begins in the gap: at the jump
        ("2026-10-25T00:45Z", ("01:00", "02:30"), "2026-10-25T01:30Z"),  # 02:30 comes twice: the last one ends it
    ],
)
def test_the_days_of_the_clock_changes_in_berlin(now: str, window: tuple[str, str], released: str | None) -> None:
    found = released_at(datetime.fromisoformat(now), a_window(*window), ZoneInfo("Europe/Berlin"))
    assert found == (datetime.fromisoformat(released) if released else None)


def test_a_day_that_never_was_holds_nobody_for_two() -> None:
    """Samoa left out 30 December 2011; the window of that day ended at the jump."""
    now = datetime(2011, 12, 30, 9, 30, tzinfo=UTC)  # 23:30 on the 29th
    assert released_at(now, a_window("22:00", "07:00", "Pacific/Apia"), ZoneInfo("Pacific/Apia")) is not None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start": "22:00", "end": "22:00", "zone": "UTC"}, "mute"),
        ({"start": "22:00:30", "end": "07:00", "zone": "UTC"}, "whole minutes"),
        ({"start": "22:00Z", "end": "07:00", "zone": "UTC"}, "whole minutes"),
        ({"start": "22:00", "end": "07:00", "zone": "Berlin"}, "IANA"),
        ({"start": "22:00", "end": "07:00", "zone": "../../etc/passwd"}, "IANA"),
    ],
)
def test_what_is_no_window_is_refused_with_what_to_do(fields: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        QuietHoursIn.model_validate(fields)
