"""Durations as people write them (`15m`) or as ISO 8601 (`PT15M`); always positive seconds inside."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_SHORT = re.compile(r"^(\d{1,9})(s|m|h|d)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _read(value: Any) -> Any:
    if isinstance(value, str) and (match := _SHORT.match(value)):
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    return value


def _positive(value: timedelta) -> float:
    return value.total_seconds()


Duration = Annotated[timedelta, BeforeValidator(_read), PlainSerializer(_positive, return_type=float)]


def as_text(span: timedelta) -> str:
    """As people write it, in the largest unit that fits: `90s`, `15m`, `1d`."""
    seconds = int(span.total_seconds())
    unit = next(name for name in ("d", "h", "m", "s") if seconds % _SECONDS[name] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
