from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse

from infrastructure.local.identity.authorize import back_to
from infrastructure.local.identity.refusals import PageRefusal
from infrastructure.local.identity.settings import IdentitySettings


def logout_routes(settings: IdentitySettings) -> APIRouter:
    """Both of Auth0's logouts. There is no session here to end, only the way back to check."""
    router = APIRouter()

    @router.get("/v2/logout")
    async def logout(client_id: str = "", return_to: Annotated[str, Query(alias="returnTo")] = "") -> RedirectResponse:
        return _leave(settings, client_id, return_to, "")

    @router.get("/oidc/logout")
    async def end_session(client_id: str = "", post_logout_redirect_uri: str = "", state: str = "") -> RedirectResponse:
        return _leave(settings, client_id, post_logout_redirect_uri, state)

    return router


def _leave(settings: IdentitySettings, client_id: str, return_to: str, state: str) -> RedirectResponse:
    if client_id not in {"", settings.client_id}:
        raise PageRefusal(400, "Unknown client", "No application has this client_id.")
    target = return_to or settings.logout_urls[0]
    if target not in settings.logout_urls:
        raise PageRefusal(400, "Logout URL mismatch.", "The returnTo address is not in the list of allowed logout URLs.")
    return back_to(target, {"state": state})
