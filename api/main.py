"""The API's application: routes in, resources opened with it and closed after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api.body_limit import BodyLimit
from api.cookies import Cookies
from api.learning import learn
from api.limits import RateLimitHeaders
from api.measuring import MeasuringMiddleware
from api.openapi import describe
from api.problems import install_problems
from api.routes import (
    auth,
    batch,
    devices,
    docs,
    health,
    inbox,
    keys,
    legacy,
    live,
    notifications,
    old_preferences,
    ops,
    ops_deliveries,
    ops_holds,
    ops_house,
    ops_quarantine,
    pages,
    people,
    people_data,
    preferences,
    published,
    realtime,
    scheduled,
    stream,
    templates,
    types,
    unsubscribe,
)
from api.security_headers import SecurityHeaders
from api.static_files import RevalidatedFiles
from api.wiring import open_api_resources
from infrastructure.settings import Settings

STATIC = Path(__file__).parent / "static"

ROUTERS = tuple(
    module.router
    # inbox and the older preferences before notifications: `/unread` and `/preferences` must not be read as an id
    for module in (
        auth,
        inbox,
        old_preferences,
        batch,
        scheduled,
        notifications,
        preferences,
        people,
        devices,
        people_data,
        unsubscribe,
        keys,
        types,
        templates,
        live,
        stream,
        ops,
        ops_deliveries,
        ops_holds,
        ops_house,
        ops_quarantine,
        legacy,
        realtime,
        health,
        docs,
        published,
        pages,
    )
)


def create_app(settings: Settings) -> FastAPI:
    """Connects to nothing before its lifespan begins; refuses a base URL that would send the session cookie in the clear."""
    Cookies(settings.base_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_api_resources(settings) as resources:
            app.state.resources = resources
            app.state.on_login = partial(learn, resources)
            yield

    app = FastAPI(title="Carillon", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.leaving = asyncio.Event()  # set when the server is to stop: streams end instead of being waited for
    install_problems(app)
    describe(app)
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", RevalidatedFiles(directory=STATIC), name="static")
    _add_middleware(app, settings)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The last one added is the first to see a request."""
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "If-None-Match",
            "Last-Event-ID",
            "Prefer",
            "X-Correlation-ID",
        ],
        expose_headers=[
            "ETag",
            "Location",
            "Retry-After",
            "RateLimit",
            "RateLimit-Policy",
            "Idempotent-Replayed",
            "X-Correlation-ID",
        ],
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders, settings=settings)
    app.add_middleware(MeasuringMiddleware)
    app.add_middleware(CorrelationIdMiddleware, header_name="X-Correlation-ID", validator=_is_harmless)


def _is_harmless(correlation: str) -> bool:
    """It travels through headers and logs: short, and nothing but letters, digits and a few marks."""
    return 0 < len(correlation) <= 128 and all((each.isalnum() and each.isascii()) or each in "-_.:" for each in correlation)
