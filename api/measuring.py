"""Counts and times every HTTP answer under the route's template, so that no id becomes a label."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infrastructure.metrics import API_REQUEST_DURATION, API_REQUESTS


class MeasuringMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            # the route is known only after routing; what matched none is one label, whatever was asked
            route = getattr(scope.get("route"), "path", "unmatched")
            API_REQUESTS.labels(scope["method"], route, str(status)).inc()
            API_REQUEST_DURATION.labels(scope["method"], route).observe(time.perf_counter() - began)
