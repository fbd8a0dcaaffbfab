from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from api.auth import CurrentUser, cookies_of, doors_of, refuse_foreign_writes
from api.envelope import ok
from api.own_path import own_path
from api.problems import Problem
from infrastructure.auth.login import Callback, new_browser
from infrastructure.auth.oauth import Refused
from infrastructure.auth.user import User
from infrastructure.settings import LOOPBACK

log = structlog.get_logger()

router = APIRouter(prefix="/api/v1/auth", tags=["login"])

OnLogin = Callable[[User], Awaitable[None]]
NO_STORE = {"Cache-Control": "no-store"}
WELL_FORMED_BROWSER = len(new_browser())


@router.get("/login", operation_id="login", status_code=303, response_class=RedirectResponse)
async def login(request: Request, next_path: Annotated[str, Query(alias="next")] = "/") -> Response:
    """Sends the browser to the login page; afterwards it comes back to `next`, a path of this site."""
    elsewhere = _other_loopback_name(request)
    if elsewhere:
        return RedirectResponse(elsewhere, 303, NO_STORE)
    cookies = cookies_of(request)
    # kept if there is one, so that two tabs can log in side by side; on https nobody else can set a __Host- cookie
    known = cookies.login(request)
    browser = known if len(known) == WELL_FORMED_BROWSER else new_browser()
    response = RedirectResponse(await doors_of(request).login.begin(own_path(next_path), browser), 303, NO_STORE)
    cookies.set_login(response, browser)
    return response


@router.get("/callback", operation_id="loginCallback", status_code=303, response_class=RedirectResponse)
async def callback(request: Request, code: str = "", state: str = "", error: str = "", iss: str = "") -> Response:
    """Where the login page sends the browser back to: a new session, whatever cookie it came with."""
    doors, cookies = doors_of(request), cookies_of(request)
    answer, browser = Callback(code, state, error, iss), cookies.login(request)
    try:
        logged_in = await doors.login.complete(answer, browser)
    except Refused as refusal:
        log.info("login.refused", reason=str(refusal))
        detail = "This login was not begun here, is over, or was declined. Begin again at /api/v1/auth/login."
        raise Problem(400, "Login failed", detail) from refusal
    on_login: OnLogin = request.app.state.on_login
    await on_login(logged_in.session.user)
    await doors.sessions.end(cookies.session(request))
    cookie = await doors.sessions.create(logged_in.session)
    await doors.login.remember(answer, browser, cookie)
    log.info("login.succeeded")
    response = RedirectResponse(doors.settings.base_url + logged_in.next_path, 303, NO_STORE)
    cookies.set_session(response, cookie)
    return response


@router.get("/me", operation_id="me")
async def me(user: CurrentUser, response: Response) -> dict[str, Any]:
    """Who is logged in, and what this login may do."""
    response.headers.update(NO_STORE)
    said = user.model_dump(mode="json", include={"id", "kind", "name", "email", "email_verified", "expires_at"})
    return ok({**said, "permissions": sorted(user.permissions)})


@router.post("/logout", operation_id="logout")
async def logout(request: Request) -> JSONResponse:
    """Ends the session here and its grant at the provider; `logout_url` ends the browser's session there."""
    doors, cookies = doors_of(request), cookies_of(request)
    cookie, provider_session = cookies.session(request), ""
    if cookie:
        refuse_foreign_writes(request)
        session = await doors.sessions.end(cookie)
        if session:
            provider_session = session.provider_session
            await doors.login.revoke(session)
    url = await doors.login.logout_url(f"{doors.settings.base_url}/", provider_session)
    response = JSONResponse(ok({"logout_url": url}), headers=NO_STORE)
    cookies.clear(response)
    return response


def _other_loopback_name(request: Request) -> str | None:
    """localhost and 127.0.0.1 have separate cookies: a login begun at one name cannot end at the other."""
    base_url = doors_of(request).settings.base_url
    asked, public = request.url, urlsplit(base_url)
    both_local = asked.hostname in LOOPBACK and public.hostname in LOOPBACK
    if not both_local or asked.hostname == public.hostname:
        return None
    return f"{base_url}{asked.path}" + (f"?{asked.query}" if asked.query else "")
