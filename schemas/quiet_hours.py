"""Quiet hours: a daily window on a person's own wall clock, and when it lets go. Pure; the time is handed in."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

from schemas.base import Record

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
SPREAD_S = 300
"""What was held is let go over this many seconds, so that nobody's morning begins with everybody's at once."""


@lru_cache(1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _known(zone: str) -> str:
    if zone not in _zones():
        raise ValueError(f"{zone!r} is no IANA time zone, as Europe/Berlin is one")
    return zone


def _whole_minutes(at: time) -> time:
    if at.tzinfo is not None or at.second or at.microsecond:
        raise ValueError("a time of day in whole minutes, as 22:00; the zone stands beside it")
    return at


def zone_or_none(said: object) -> str | None:
    """What somebody else's system says a zone is, where it is one."""
    return said if isinstance(said, str) and said in _zones() else None


ZoneName = Annotated[
    str,
    Field(max_length=64, examples=["Europe/Berlin"], json_schema_extra={"format": "iana-time-zone"}),
    AfterValidator(_known),
]
WallTime = Annotated[
    time,
    AfterValidator(_whole_minutes),
    PlainSerializer(lambda at: f"{at:%H:%M}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "examples": ["22:00"]}),
]


class QuietHours(Record):
    """From `start` up to `end`, every day, by the wall clock of `zone`; over midnight where `end` comes first."""

    start: WallTime
    end: WallTime
    zone: str

    @model_validator(mode="after")
    def _is_a_window(self) -> "QuietHours":
        if self.start == self.end:
            raise ValueError("start and end are the same; to be left alone altogether, mute")
        return self


class QuietHoursIn(QuietHours):
    """As people write them: with a zone that is known here."""

    model_config = ConfigDict(extra="forbid")

    zone: ZoneName


def released_at(now: datetime, quiet: QuietHours, zone: ZoneInfo) -> datetime | None:
    """When the window that `now` falls into has ended; None outside of it.

    A clock set back says some times twice: the window lasts from the first of them to the last. A clock set forward skips
    some: a window that would begin or end there does so at the moment of the jump.
    """
    moment = now
    while (end := _end_of_window_at(moment, quiet, zone)) is not None:
        moment = end  # on the day of a clock change the next window may have begun already
    return moment if moment != now else None


def _end_of_window_at(moment: datetime, quiet: QuietHours, zone: ZoneInfo) -> datetime | None:
    ends = (end for start, end in _windows_around(moment, quiet, zone) if start <= moment < end)
    return max(ends, default=None)


def _windows_around(moment: datetime, quiet: QuietHours, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """The windows that begin two days before to one day after: zones have skipped and repeated whole days."""
    today = moment.astimezone(zone).date()
    for days in range(-2, 2):
        begins = today + days * _DAY
        ends = begins if quiet.start < quiet.end else begins + _DAY
        yield moment_when(begins, quiet.start, zone, fold=0), moment_when(ends, quiet.end, zone, fold=1)


def moment_when(day: date, at: time, zone: ZoneInfo, *, fold: int) -> datetime:
    """The first (fold 0) or last (fold 1) moment when the clock says so; where it never does, the moment it jumps."""
    wall = datetime.combine(day, at)
    moment = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    # in a gap, fold 1 reads the clock after the jump and gives an earlier moment (PEP 495)
    before, after = (wall.replace(tzinfo=zone, fold=each).astimezone(UTC) for each in (1, 0))
    while after - before > _SECOND:
        middle = before + (after - before) / 2
        said = middle.astimezone(zone).replace(tzinfo=None)
        before, after = (before, middle) if said >= wall else (middle, after)
    return after.replace(microsecond=0)
