"""Changes that are made upon a version: what If-Match says (RFC 9110, section 13.1.1)."""

import re
from typing import Annotated

from fastapi import Header

from api.problems import Problem

_ETAG = re.compile(r'"(\d{1,9})"')
IfMatch = Annotated[
    str | None,
    Header(
        max_length=100,
        description="The ETag of what the change is made upon; `*` for any",
        json_schema_extra={"pattern": f"^({_ETAG.pattern}|\\*)$"},
        examples=['"3"'],
    ),
]


def expected_version(if_match: str | None) -> int | None:
    """The version a change is made upon; `*` takes any. A weak or foreign tag matches nothing."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise Problem(412, "Changed meanwhile", "If-Match is none of our ETags; send the one of the last GET unchanged.")
    return int(found[1])
