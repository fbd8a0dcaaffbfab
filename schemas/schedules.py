"""Sends for later: at a moment, or at a time on each person's own clock. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from schemas.base import to_utc
from schemas.quiet_hours import moment_when

SCHEDULED = "scheduled"
"""The reason of a delivery that rests until the time it was asked for."""
_FURTHEST_EAST, _FURTHEST_WEST = timedelta(hours=14), timedelta(hours=-12)
_YEARS = range(1970, 9999)


def _date_and_time(value: Any) -> Any:
    if isinstance(value, int | float) or (isinstance(value, str) and len(value.strip()) <= len("2026-12-01")):
        raise ValueError("a date and a time, as 2026-12-01T09:00 (each person's own clock) or 2026-12-01T09:00Z")
    return value


def _moment_or_wall(at: datetime) -> datetime:
    if at.tzinfo is not None:
        return to_utc(at)
    if at.year not in _YEARS:
        raise ValueError(f"no year between {_YEARS[0]} and {_YEARS[-1]}")
    return at.replace(microsecond=0, fold=0)


SendAt = Annotated[
    datetime,
    BeforeValidator(_date_and_time),
    AfterValidator(_moment_or_wall),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time-local"}],
            "examples": ["2026-12-01T09:00:00Z", "2026-12-01T09:00"],
            "description": "With an offset a moment; without one that time on each person's own clock.",
        }
    ),
]


def is_wall_clock(send_at: datetime) -> bool:
    """Without an offset: it comes at another moment in every zone."""
    return send_at.tzinfo is None


def first_moment(send_at: datetime) -> datetime:
    """Before it nobody is due: for a time on the wall, when the clocks furthest east say so."""
    return (send_at - _FURTHEST_EAST).replace(tzinfo=UTC) if is_wall_clock(send_at) else send_at


def last_moment(send_at: datetime) -> datetime:
    """After it everybody is due."""
    return (send_at - _FURTHEST_WEST).replace(tzinfo=UTC) if is_wall_clock(send_at) else send_at


def due_in(send_at: datetime, zone: ZoneInfo) -> datetime:
    """When it is due there. A time that a clock change skips comes at the jump, one that comes twice at its first."""
    return moment_when(send_at.date(), send_at.time(), zone, fold=0) if is_wall_clock(send_at) else send_at
