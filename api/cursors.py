"""Where the next page begins, in a form that clients only hand back."""

import base64
import binascii
import json
import re
from typing import Any

from api.problems import Problem

_PLACE = re.compile(r"[0-9TZ:.-]{20,30}#[\w-]{1,100}")


def write_cursor(place: Any) -> str | None:
    """None where there is no next page."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise bad_cursor() from error


def bad_cursor() -> Problem:
    return Problem(400, "Bad cursor", "Use next_cursor of the page before, unchanged.")


def place_after(cursor: str | None) -> str | None:
    """Where a list goes on that is in the order of time, then of ids."""
    after = read_cursor(cursor)
    if after is None or (isinstance(after, str) and _PLACE.fullmatch(after)):
        return after
    raise bad_cursor()
