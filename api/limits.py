"""One limit per caller, whatever address, cookie or token they come with; every answer says what is left of it."""

from typing import Protocol

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem
from infrastructure.auth.user import User
from infrastructure.redis.rate_limit import RateLimiter
from infrastructure.settings import Settings
from schemas.rate_limits import Limit, Verdict

_VERDICT = "rate_limit"


class Limiting(Protocol):
    """The part of the resources that limiting needs."""

    @property
    def settings(self) -> Settings: ...
    @property
    def limiter(self) -> RateLimiter: ...


async def admit(connection: HTTPConnection, user: User, cost: int = 1) -> None:
    """Takes `cost` calls from the caller's quota; raises `Problem` 429 when so many are not left."""
    limiting: Limiting = connection.app.state.resources
    limit = limit_of(user, limiting.settings)
    if cost > limit.per_minute:
        raise Problem(
            413, "Too many at once", f"This asks for {cost} calls at once; your limit is {limit.per_minute} a minute."
        )
    verdict = await limiting.limiter.take(f"{limit.name}:{user.id}", limit, cost)
    setattr(connection.state, _VERDICT, verdict)
    if not verdict.allowed:
        raise Problem(
            429,
            "Too many requests",
            f"At most {limit.per_minute} a minute. Try again in {verdict.retry_after_s} s.",
            type="rate_limited",
            headers={"Retry-After": str(verdict.retry_after_s)},
        )


def limit_of(user: User, settings: Settings) -> Limit:
    if user.limit_per_minute is not None:
        return Limit("key", user.limit_per_minute)
    return Limit("person", settings.rate_limit_per_minute)


class RateLimitHeaders:
    """ASGI middleware: the verdict on the caller becomes headers of whatever the answer is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def telling(message: Message) -> None:
            verdict: Verdict | None = state.get(_VERDICT)
            if message["type"] == "http.response.start" and verdict is not None:
                MutableHeaders(scope=message).update(verdict.headers())
            await send(message)

        await self._app(scope, receive, telling)
