"""No body is read further than a request may be long, whoever sends it and however it is sent."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.requests import MAX_BATCH_BYTES, MAX_REQUEST_BYTES

LONGER = {"/api/v1/notifications/batch": MAX_BATCH_BYTES}


class BodyLimit:
    """ASGI middleware; the route that reads the body raises 413 at the first byte too many."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received, most = 0, LONGER.get(scope["path"], MAX_REQUEST_BYTES)

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, f"A request may have {most} bytes.")
            return message

        await self._app(scope, bounded, send)
