from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Header, Query
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.middleware.trustedhost import TrustedHostMiddleware

from infrastructure.local.loopback import LOOPBACK_HOSTS
from infrastructure.local.sandbox.calls import Call, CallLog, Provider
from infrastructure.local.sandbox.faults import Fault, FaultBoard
from infrastructure.local.sandbox.providers import sms_routes, webhook_routes
from infrastructure.local.sandbox.push import apns_routes, fcm_routes, web_push_routes
from infrastructure.local.sandbox.reception import Reception
from infrastructure.local.sandbox.settings import SandboxSettings
from infrastructure.local.sandbox.slack import slack_routes

HERE = Path(__file__).parent
CSP = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"


def sandbox_app(settings: SandboxSettings, reception: Reception) -> FastAPI:
    """The providers, what they received, and the page. The settings have refused any place but loopback."""
    app = FastAPI(title="Provider sandbox", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(CORSMiddleware, allow_origins=list(settings.reading_origins), allow_methods=["GET"])
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_HOSTS))
    for routes in (slack_routes, webhook_routes, sms_routes, web_push_routes, fcm_routes, apns_routes):
        app.include_router(routes(reception))
    app.include_router(_call_routes(reception.calls))
    app.include_router(_fault_routes(reception.faults))
    app.include_router(_page_routes())
    return app


def _call_routes(calls: CallLog) -> APIRouter:
    router = APIRouter(prefix="/calls")

    @router.get("")
    async def recent(
        provider: Provider | None = None,
        delivery: str | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    ) -> list[Call]:
        return calls.recent(provider=provider, delivery=delivery, limit=limit)

    @router.delete("", status_code=204)
    async def clear() -> None:
        calls.clear()

    @router.get("/stream", response_class=EventSourceResponse)
    async def stream(
        after: int | None = None, last_event_id: Annotated[int | None, Header()] = None
    ) -> AsyncIterator[ServerSentEvent]:
        """New calls as they come, or all since number `after`; the first comment says that the stream is open."""
        known = last_event_id if last_event_id is not None else after
        start = calls.latest if known is None else known
        yield ServerSentEvent(comment="listening")
        async for call in calls.follow(start):
            yield ServerSentEvent(data=call, event="call", id=str(call.n))

    return router


def _fault_routes(faults: FaultBoard) -> APIRouter:
    router = APIRouter(prefix="/faults")

    @router.get("")
    async def shown() -> dict[Provider, Fault]:
        return faults.shown()

    @router.put("/{provider}")
    async def behave(provider: Provider, fault: Fault) -> Fault:
        faults.set(provider, fault)
        return fault

    return router


def _page_routes() -> APIRouter:
    router = APIRouter()

    @router.get("/")
    async def page() -> FileResponse:
        return FileResponse(HERE / "sandbox.html", headers={"Content-Security-Policy": CSP, "Cache-Control": "no-cache"})

    @router.get("/sandbox.{kind}")
    async def asset(kind: Literal["css", "js", "svg"]) -> FileResponse:
        return FileResponse(HERE / f"sandbox.{kind}", headers={"Cache-Control": "no-cache"})

    return router
