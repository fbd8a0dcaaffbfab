"""Ways of not answering, which ASGI has no word for."""

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ABORT = "carillon.abort"


class AbortableProtocol(HttpToolsProtocol):
    """Offers the app one more ASGI extension: cutting the connection without a byte of answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        app = self.app

        async def abortable(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[ABORT] = transport.abort
            await app(scope, receive, send)

        self.app = abortable


class Silence(Response):
    """Says nothing until the client gives up; with `cut`, ends the connection at once."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        abort = scope["extensions"][ABORT]
        if self._cut:
            abort()
        try:
            await _disconnected(receive)
        except asyncio.CancelledError:  # the server stops: still no answer, not even uvicorn's own 500
            abort()
            await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
