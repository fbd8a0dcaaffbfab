"""Where the next page begins, in a form that clients only hand back."""

import base64
import binascii
import json
from typing import Any

from api.problems import Problem


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
