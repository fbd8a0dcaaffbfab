from collections.abc import Mapping

from fastapi import Request

from api.problems import Problem
from schemas.requests import MAX_REQUEST_BYTES


async def bounded_body(request: Request, headers: Mapping[str, str] | None = None) -> bytes:
    """The body, read no further than a request may be long; `headers` go with the refusal."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_REQUEST_BYTES:
            raise Problem(413, "Too large", f"A request may have {MAX_REQUEST_BYTES} bytes.", headers=headers)
    return bytes(received)
