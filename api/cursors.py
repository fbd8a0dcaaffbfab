"""Where the next page begins, in a form that clients only hand back: signed, and good for one person, list and environment.

Nothing secret is in one. The signature keeps what was made up away from the stores, and nobody's cursor says anything about
where somebody else has read to.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from api.auth import Caller
from api.dependencies import House, InEnvironment
from api.problems import Problem

Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=2000, description="`meta.next_cursor` of the page before")]

PLACE = re.compile(r"[0-9TZ:.-]{20,30}#[\w-]{1,100}")
"""A place in a list that is in the order of time, then of ids."""
_MAC_BYTES = 16


class Cursors:
    """Those of one person in one list."""

    def __init__(self, secret: str, *bound_to: str) -> None:
        said = json.dumps(["cursor", "v1", *bound_to]).encode()
        self._key = hmac.digest(secret.encode(), said, hashlib.sha256)

    def write(self, place: Any) -> str | None:
        """None where there is no next page."""
        if place is None:
            return None
        said = json.dumps(place, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._mac(said) + said).decode().rstrip("=")

    def read(self, text: str | None) -> Any:
        """What was written; raises `Problem` for what was not, or not for this person and list."""
        if text is None:
            return None
        try:
            found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError) as error:
            raise bad_cursor() from error
        mac, said = found[:_MAC_BYTES], found[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(said)):
            raise bad_cursor()
        return json.loads(said)

    def place(self, text: str | None, shape: re.Pattern[str] = PLACE) -> str | None:
        """A place that has this shape: an older version may have written another."""
        found = self.read(text)
        if found is None or (isinstance(found, str) and shape.fullmatch(found)):
            return found
        raise bad_cursor()

    def _mac(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, hashlib.sha256)[:_MAC_BYTES]


def the_cursors(request: Request, user: Caller, house: House, environment: InEnvironment) -> Cursors:
    return Cursors(house.settings.app_secret_key.get_secret_value(), request.url.path, environment, user.id)


TheCursors = Annotated[Cursors, Depends(the_cursors)]


def bad_cursor() -> Problem:
    return Problem(400, "Bad cursor", "Use next_cursor of the page before, unchanged.")
