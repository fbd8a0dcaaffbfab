"""What every value here has in common: frozen, strict about unknown fields at the door, tolerant between our own workers."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value from outside: an unknown field is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(BaseModel):
    """A frozen value between our own workers: fields a newer worker added travel on untouched."""

    model_config = ConfigDict(frozen=True, extra="allow")


def to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # the last hours of the year 9999, said in another zone
        raise ValueError("no moment between the years 1 and 9999") from error


UtcDatetime = Annotated[AwareDatetime, AfterValidator(to_utc)]


def iso(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds; sorts as text in time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
