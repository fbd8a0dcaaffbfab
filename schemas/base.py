"""What every value here has in common: frozen, strict about unknown fields at the door, tolerant between our own workers."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Strict

_NUMBER = re.compile(r"[+-]?[\d._]+(e[+-]?\d+)?", re.IGNORECASE)


def _a_number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("a whole number")  # noqa: TRY004 - pydantic takes it as a wrong value
    return value


# In what people write, `0` is not false and `true` is not 1; but `2.0` is 2, as JSON Schema has it.
Flag = Annotated[bool, Strict()]
WHOLE = BeforeValidator(_a_number)


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


def said_as_text(moment: Any) -> Any:
    """A bare number would be read as seconds or milliseconds since 1970, whichever seems likelier: nobody's wish."""
    if isinstance(moment, int | float) or (isinstance(moment, str) and _NUMBER.fullmatch(moment.strip())):
        raise ValueError("a date and a time with an offset, as 2026-12-01T09:00:00Z")
    return moment


UtcDatetime = Annotated[AwareDatetime, AfterValidator(to_utc), BeforeValidator(said_as_text)]


def iso(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds; sorts as text in time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
