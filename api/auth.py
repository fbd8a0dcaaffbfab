"""Who is calling: a session cookie, a bearer token or an API key, for HTTP; the first two for WebSocket. A service's
bearer token, signed with a shared secret, is for sending over HTTP alone."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Protocol
from urllib.parse import urlsplit

import structlog
from fastapi import Depends, Request, Security, WebSocket, WebSocketException
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from api.cookies import Cookies
from api.limits import Limiting, admit
from api.problems import Problem
from infrastructure.auth.api_keys import InvalidKey, KeyVerifier
from infrastructure.auth.bearer import BearerVerifier, InvalidToken
from infrastructure.auth.login import LoginClient
from infrastructure.auth.renewal import LiveSessions
from infrastructure.auth.service_tokens import ServiceTokens
from infrastructure.auth.user import User
from infrastructure.metrics import LEGACY_CALLS
from schemas.topics import Environment

log = structlog.get_logger()

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
EXPIRED, NOT_YOURS = 4401, 4403
KEY_HEADER = "X-API-Key"


class Doors(Limiting, Protocol):
    """The part of the resources that knowing a caller needs."""

    @property
    def sessions(self) -> LiveSessions: ...
    @property
    def login(self) -> LoginClient: ...
    @property
    def bearer(self) -> BearerVerifier: ...
    @property
    def keys(self) -> KeyVerifier: ...
    @property
    def service_tokens(self) -> ServiceTokens: ...


def doors_of(connection: HTTPConnection) -> Doors:
    doors: Doors = connection.app.state.resources
    return doors


def cookies_of(connection: HTTPConnection) -> Cookies:
    return Cookies(doors_of(connection).settings.base_url)


# For the OpenAPI document only: reading and judging is done below, in one place for HTTP and WebSocket.
BEARER = HTTPBearer(
    scheme_name="bearer",
    auto_error=False,
    bearerFormat="JWT",
    description="An access token for this API; for sending also a service's token, where the deployment takes those",
)
COOKIE = APIKeyCookie(
    scheme_name="session", name="__Host-carillon", auto_error=False, description="A session; `carillon` on loopback http"
)
KEY = APIKeyHeader(scheme_name="apiKey", name=KEY_HEADER, auto_error=False, description="An API key of a backend: `crl_…`")


async def get_current_user(
    request: Request,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)] = None,
    _cookie: Annotated[str | None, Security(COOKIE)] = None,
    _key: Annotated[str | None, Security(KEY)] = None,
) -> User:
    """Who calls this route; 401 if nobody we know, 403 if another site may be behind the request, 429 if too often."""
    user = await identified(request)
    await admit(request, user)
    return user


Caller = Annotated[User, Depends(get_current_user)]
"""Whoever calls, services with a signed token among them: for routes that are about sending and what came of it."""


async def owning_user(caller: Caller) -> User:
    """Who calls, for everything else: a service's token stands for nobody who owns anything (403)."""
    if caller.kind == "service":
        raise Problem(403, "Forbidden", "A service's token is for sending notifications; use an API key or log in for this.")
    return caller


CurrentUser = Annotated[User, Depends(owning_user)]


async def identified(request: Request) -> User:
    """Who calls, without counting the call."""
    if KEY_HEADER in request.headers:
        return await _key_user(request)
    if "authorization" in request.headers:
        return _service(request) or await _bearer_user(request)
    if cookies_of(request).session(request) and request.method not in SAFE_METHODS:
        refuse_foreign_writes(request)
    user = await _session_user(request)
    if user is None:
        raise unauthenticated()
    return user


ANONYMOUS = User(
    id="anonymous",
    sub="anonymous",
    issuer="",
    kind="machine",
    permissions=frozenset({"notifications:send", "notifications:broadcast", "people:write"}),
    producer="legacy:anonymous",
    expires_at=datetime(9999, 12, 31, tzinfo=UTC),
)


async def current_user_or_anonymous(
    request: Request,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)] = None,
    _cookie: Annotated[str | None, Security(COOKIE)] = None,
    _key: Annotated[str | None, Security(KEY)] = None,
) -> User:
    """As `get_current_user`; but where LEGACY_ANONYMOUS says so, whoever brings no credential at all is let in.

    A credential that is brought has to be good, and a page of another site is refused even so.
    """
    brings_one = KEY_HEADER in request.headers or "authorization" in request.headers or cookies_of(request).session(request)
    if brings_one or not doors_of(request).settings.legacy_anonymous:
        return await owning_user(await get_current_user(request))
    if "origin" in request.headers:
        refuse_foreign_writes(request)
    await admit(request, ANONYMOUS)
    return ANONYMOUS


def requires(permission: str) -> Callable[[User], Awaitable[User]]:
    """A dependency that gives the user, or 403 to one without this permission."""

    async def permitted(user: Caller) -> User:
        if not user.may(permission):
            raise Problem(403, "Forbidden", f"This needs the permission {permission}.")
        return user

    return permitted


async def user_of_socket(websocket: WebSocket) -> User | None:
    """Who opened this socket; None if it carries no credential at all (a ticket may still come).

    To be asked before `accept`, and again while it is open: a session that has ended is refused then. Closing an
    unaccepted socket answers the handshake with 403.
    """
    has_cookie, has_token = bool(cookies_of(websocket).session(websocket)), "authorization" in websocket.headers
    if not has_cookie and not has_token:
        return None
    # A browser sends the cookie along for any page that asks (RFC 6455 section 10.2), and always names the page.
    # A token is brought by a program, which has no page, or by an app on a listed origin.
    settings = doors_of(websocket).settings
    allowed = {origin_of(settings.base_url), *(settings.cors_origins if has_token else ())}
    if not comes_from(websocket, allowed, or_says_nothing=has_token):
        raise WebSocketException(NOT_YOURS)
    try:
        user = await _bearer_user(websocket) if has_token else await _session_user(websocket)
    except Problem as error:
        raise WebSocketException(EXPIRED) from error
    if user is None:
        raise WebSocketException(EXPIRED)
    return user


def refuse_foreign_writes(request: Request) -> None:
    """For writes that a cookie authorises: they come from our own pages, and are JSON or empty (ASVS 3.5.1)."""
    same_origin = request.headers.get("sec-fetch-site") == "same-origin"
    own = {origin_of(doors_of(request).settings.base_url)}
    if not comes_from(request, own, or_says_nothing=same_origin):
        raise Problem(
            403, "Forbidden", "With a session, writes must come from this site; send Origin, or use a bearer token."
        )
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if (content_type or has_body) and content_type != "application/json":
        raise Problem(403, "Forbidden", "With a session, bodies must be application/json.")


def unauthenticated() -> Problem:
    """One answer for every reason: which check failed is for the log alone."""
    detail = "A session, a valid bearer token or a valid API key is needed."
    return Problem(401, "Unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})


async def _bearer_user(connection: HTTPConnection) -> User:
    try:
        return await doors_of(connection).bearer.verify(_token(connection.headers.getlist("authorization")))
    except InvalidToken as error:
        log.info("auth.token_refused", reason=str(error))
        raise unauthenticated() from error


def _service(request: Request) -> User | None:
    """The service whose token this is; None for tokens of another kind, which the provider's keys judge alone."""
    tokens = doors_of(request).service_tokens
    try:
        token = _token(request.headers.getlist("authorization"))
        service = tokens.verify(token) if tokens.claims_to_be_one(token) else None
    except InvalidToken as error:
        log.info("auth.token_refused", reason=str(error))
        raise unauthenticated() from error
    if service is not None:
        LEGACY_CALLS.labels("service_token").inc()
    return service


async def _key_user(request: Request) -> User:
    """A header that comes twice, or beside a token, is nobody's honest request (RFC 6750 section 2 says so of tokens)."""
    try:
        return await doors_of(request).keys.verify(_only_key(request))
    except InvalidKey as error:
        log.info("auth.key_refused", reason=str(error))
        raise unauthenticated() from error


def _only_key(request: Request) -> str:
    presented = request.headers.getlist(KEY_HEADER)
    if len(presented) != 1 or "authorization" in request.headers:
        raise InvalidKey("more than one credential")
    return presented[0]


def refuse_foreign_environment(user: User, wanted: Environment) -> None:
    """A key or a service's token works in one environment, whatever a body or a query asks for."""
    if user.environment not in (None, wanted):
        credential = "token" if user.kind == "service" else "API key"
        told = f"This {credential} is for {user.environment}; {wanted} needs a key of its own."
        raise Problem(403, "Forbidden", told)


def _token(lines: list[str]) -> str:
    """The token of the one Authorization line (RFC 6750 section 2.1)."""
    scheme, _, token = lines[0].partition(" ")
    if len(lines) != 1 or scheme.lower() != "bearer":
        raise InvalidToken("scheme")
    return token.strip()


async def _session_user(connection: HTTPConnection) -> User | None:
    cookie = cookies_of(connection).session(connection)
    session = await doors_of(connection).sessions.read(cookie) if cookie else None
    return session.user if session else None


def comes_from(connection: HTTPConnection, allowed: set[str], *, or_says_nothing: bool) -> bool:
    """Whether the page behind a request is one of ours. An origin is compared whole: scheme, host and port."""
    origins = connection.headers.getlist("origin")
    if not origins:
        return or_says_nothing
    return len(origins) == 1 and origins[0] in allowed


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
