"""Every zone that changes its clocks, at both edges: what is held is released, all of it, once, when the clock allows."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest

from schemas.preferences import About, Preferences, Situation, held_until
from schemas.quiet_hours import SPREAD_S, QuietHours
from tests.unit.test_quiet_hours import says_quiet

YEAR = datetime(2026, 1, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
MAIL = About(channel="email", category="general")


@cache
def the_changes(name: str) -> tuple[datetime, ...]:
    """The first moments with another offset, found day by day and then to the minute."""
    zone = ZoneInfo(name)

    def offset(at: datetime) -> timedelta | None:
        return at.astimezone(zone).utcoffset()

    found = []
    for day in (YEAR + n * DAY for n in range(365)):
        if offset(day) == offset(day + DAY):
            continue
        before, after = day, day + DAY
        while after - before > MINUTE:
            middle = before + MINUTE * ((after - before) // MINUTE // 2)
            before, after = (middle, after) if offset(middle) == offset(before) else (before, middle)
        found.append(after)
    return tuple(found)


def with_a_change() -> list[str]:
    return sorted(name for name in available_timezones() if the_changes(name))


def windows_at(change: datetime, zone: ZoneInfo) -> Iterator[tuple[time, time]]:
    """Over midnight; one that ends, and one that begins, at a time which that day skips or says twice."""
    yield time(22), time(7)
    before, after = ((change + n * MINUTE).astimezone(zone).time() for n in (-30, 30))
    yield time(22 if before.hour < 12 else 4), before
    yield after, time((after.hour + 5) % 24)


def goes_out_at(delivery: str, now: datetime, quiet: QuietHours) -> tuple[datetime, int]:
    """As deliver does it: asks, rests in a timer, asks again when it fires; when it is let go, and how often it rested."""
    rests = 0
    while True:
        at = Situation(Preferences(version=1, quiet_hours=quiet), MAIL, ("security",), now)
        until = held_until(at, delivery)
        if until is None:
            return now, rests
        assert now < until, "a timer that has fired already would never end"
        now, rests = until, rests + 1


def test_there_are_zones_with_both_kinds_of_changes() -> None:
    assert len(with_a_change()) > 150
    assert len(the_changes("Europe/Berlin")) == len(the_changes("Australia/Lord_Howe")) == 2


@pytest.mark.parametrize("name", with_a_change())
def test_what_is_held_around_a_change_is_released_once_and_never_while_it_is_quiet(name: str) -> None:
    zone, held, released = ZoneInfo(name), 0, 0
    for change in the_changes(name):
        for start, end in windows_at(change, zone):
            quiet = QuietHours(start=start, end=end, zone=name)
            for hours in range(-14, 12):
                now = change + timedelta(hours=hours, minutes=7)
                out, rests = goes_out_at(f"dlv_{hours}", now, quiet)
                held += says_quiet(now, quiet, zone)
                released += says_quiet(now, quiet, zone) and rests > 0
                assert not says_quiet(out, quiet, zone)
                assert out - now <= timedelta(hours=27), "one night, however the clocks go"
                assert rests <= 2, "a second time at most: where its place in the spread falls into the next window"
    assert held == released > 0


def test_a_thousand_that_were_held_are_spread_over_minutes() -> None:
    quiet = QuietHours(start=time(22), end=time(7), zone="Europe/Berlin")
    end = datetime(2026, 10, 25, 6, tzinfo=UTC)  # the night of the longer clock
    out = sorted(goes_out_at(f"dlv_{n}", end - timedelta(hours=3), quiet)[0] for n in range(1000))
    assert end <= out[0] < end + timedelta(seconds=5)
    assert end + timedelta(seconds=SPREAD_S - 5) < out[-1] < end + timedelta(seconds=SPREAD_S)
    busiest = max(sum(minute <= at - end < minute + MINUTE for at in out) for minute in (n * MINUTE for n in range(5)))
    assert busiest < 300


@pytest.mark.parametrize(
    "about", [MAIL.model_copy(update={"urgent": True}), MAIL.model_copy(update={"category": "security"})]
)
def test_the_urgent_and_the_mandatory_are_never_held(about: About) -> None:
    quiet = QuietHours(start=time(0), end=time(23, 59), zone="UTC")
    at = Situation(Preferences(version=1, quiet_hours=quiet), about, ("security",), YEAR + timedelta(hours=3))
    assert held_until(at, "dlv_1") is None
