import time

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from infrastructure.local.identity.authorize import authorize_routes, back_to
from infrastructure.local.identity.discovery import discovery_routes
from infrastructure.local.identity.grants import Clock, Codes, RefreshTokens
from infrastructure.local.identity.keys import load_signing_key
from infrastructure.local.identity.logout import logout_routes
from infrastructure.local.identity.page import STYLESHEET, refusal_page
from infrastructure.local.identity.refusals import PageRefusal, RedirectRefusal, TokenRefusal
from infrastructure.local.identity.settings import IdentitySettings
from infrastructure.local.identity.token_endpoint import NO_STORE, TokenEndpoint, token_routes
from infrastructure.local.identity.tokens import Mint
from infrastructure.local.loopback import LOOPBACK_HOSTS


def identity_app(settings: IdentitySettings, clock: Clock = time.time) -> FastAPI:
    """The provider as an app. The settings have refused any place but loopback and DEPLOYMENT=local."""
    key = load_signing_key(settings.key_dir)
    codes, refresh_tokens = Codes(clock), RefreshTokens(clock, settings.refresh_overlap_s)
    mint = Mint(settings, key, clock)
    app = FastAPI(title="Local identity provider", docs_url=None, redoc_url=None, openapi_url=None)
    # A page elsewhere that points its own name at 127.0.0.1 (DNS rebinding) must not log people in.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_HOSTS))
    app.include_router(discovery_routes(settings, key, mint))
    app.include_router(authorize_routes(settings, codes))
    app.include_router(token_routes(TokenEndpoint(settings, codes, refresh_tokens, mint)))
    app.include_router(logout_routes(settings))
    _say_no_like_auth0(app)

    @app.get("/identity.css")
    async def stylesheet() -> FileResponse:
        return FileResponse(STYLESHEET)

    return app


def _say_no_like_auth0(app: FastAPI) -> None:
    @app.exception_handler(TokenRefusal)
    async def as_json(_: Request, refusal: TokenRefusal) -> JSONResponse:
        body = {"error": refusal.error, "error_description": refusal.description}
        return JSONResponse(body, refusal.status, NO_STORE)

    @app.exception_handler(RedirectRefusal)
    async def as_redirect(_: Request, refusal: RedirectRefusal) -> RedirectResponse:
        told = {"error": refusal.error, "error_description": refusal.description, "state": refusal.state}
        return back_to(refusal.redirect_uri, told)

    @app.exception_handler(PageRefusal)
    async def as_page(request: Request, refusal: PageRefusal) -> HTMLResponse:
        return refusal_page(request, refusal)
