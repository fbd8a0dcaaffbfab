"""What every answer tells a browser not to do with it. Source: https://cheatsheetseries.owasp.org (HTTP Headers).

A page that needs a wider policy (the playground reads the provider sandbox) sets its own with `content_policy`.
"""

from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infrastructure.settings import Settings

POLICY = "Content-Security-Policy"
FOR_EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def content_policy(settings: Settings, *, connect: Iterable[str] = (), also: Iterable[str] = ()) -> str:
    """Everything comes from this site, nothing is framed, no inline script runs (CSP level 3). `also` adds directives."""
    # older browsers do not count the socket of the same host as 'self' (w3c/webappsec-csp#7)
    sockets = settings.base_url.replace("http", "ws", 1)
    sources = " ".join(("'self'", sockets, *connect))
    directives = (
        "default-src 'self'",
        f"connect-src {sources}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        *also,
    )
    return "; ".join(directives)


class SecurityHeaders:
    """ASGI middleware. A header that an answer brings itself stays as it is."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._policy = content_policy(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in FOR_EVERY_ANSWER.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault(POLICY, self._policy)
            await send(message)

        await self._app(scope, receive, send_guarded)
