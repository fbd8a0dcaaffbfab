"""Asking again costs nothing when nothing has changed: ETag and If-None-Match (RFC 9110 sections 8.8.3 and 13.1.2)."""

import hashlib
import json
from typing import Annotated, Any

from fastapi import Header, Response
from fastapi.responses import JSONResponse
from pydantic_core import to_jsonable_python

IfNoneMatch = Annotated[
    str | None, Header(max_length=2000, description="The ETag of the last answer: 304 when it would be the same")
]
TAGGED = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie, X-API-Key"}


def unless_the_same(body: dict[str, Any], if_none_match: str | None) -> Response:
    """The answer with its ETag, or 304 without a body."""
    content = to_jsonable_python(body)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
    headers = {"ETag": f'"{digest}"', **TAGGED}
    # the comparison is the weak one: a proxy that compressed the answer may have made it `W/"…"`
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    if known & {"*", headers["ETag"]}:
        return Response(status_code=304, headers=headers)
    return JSONResponse(content, headers=headers)
