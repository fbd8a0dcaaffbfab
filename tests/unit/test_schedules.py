"""A time on each person's own clock: when it comes where, also on the days on which clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.identity import body_hash
from schemas.requests import NotificationRequest
from schemas.schedules import due_in, first_moment, is_wall_clock, last_moment

EVERYWHERE = sorted(available_timezones())
wall_times = st.datetimes(datetime.fromisoformat("2026-01-01"), datetime.fromisoformat("2027-12-31")).map(
    lambda at: at.replace(second=0, microsecond=0)
)


@pytest.mark.parametrize(
    ("wall", "zone", "moment"),
    [
        ("2026-12-01T09:00", "Europe/Berlin", "2026-12-01T08:00Z"),
        ("2026-12-01T09:00", "America/New_York", "2026-12-01T14:00Z"),
        ("2026-12-01T09:00", "Pacific/Kiritimati", "2026-11-30T19:00Z"),
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:00Z"),  # the clock skips it: at the jump
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30Z"),  # it comes twice: the first
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30Z"),  # a jump of half an hour
        ("2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-04T14:45Z"),
    ],
)
def test_when_it_comes(wall: str, zone: str, moment: str) -> None:
    assert due_in(datetime.fromisoformat(wall), ZoneInfo(zone)) == datetime.fromisoformat(moment)


@settings(max_examples=500, deadline=None)
@given(wall_times, st.sampled_from(EVERYWHERE))
def test_the_clock_says_so_then_and_has_not_said_so_before(wall: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    due = due_in(wall, zone)
    assert first_moment(wall) <= due <= last_moment(wall)
    said = due.astimezone(zone).replace(tzinfo=None, fold=0)
    assert said >= wall
    if said > wall:  # skipped: the minute before, the clock had not come as far
        assert (due - timedelta(minutes=1)).astimezone(zone).replace(tzinfo=None, fold=0) < wall
    earlier = due - timedelta(minutes=30)
    assert earlier.astimezone(zone).replace(tzinfo=None, fold=0) != wall


def test_a_moment_is_the_same_everywhere() -> None:
    moment = datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert due_in(moment, ZoneInfo("Asia/Tokyo")) == first_moment(moment) == last_moment(moment) == moment
    assert not is_wall_clock(moment)


def test_with_an_offset_and_without_are_two_requests() -> None:
    def asked(send_at: str) -> NotificationRequest:
        return NotificationRequest.model_validate({"to": "ana", "message": "Hi", "send_at": send_at})

    assert body_hash(asked("2026-12-01T09:00")) == body_hash(asked("2026-12-01T09:00:00"))
    assert body_hash(asked("2026-12-01T09:00")) != body_hash(asked("2026-12-01T09:00Z"))
    again = NotificationRequest.model_validate_json(asked("2026-12-01T09:00").model_dump_json())
    assert again == asked("2026-12-01T09:00"), "what went through Kafka is the same"
