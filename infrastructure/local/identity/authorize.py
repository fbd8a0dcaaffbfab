import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel

from infrastructure.local.identity.grants import Codes, Grant
from infrastructure.local.identity.page import people_page
from infrastructure.local.identity.people import PEOPLE
from infrastructure.local.identity.refusals import PageRefusal, RedirectRefusal, unknown_audience
from infrastructure.local.identity.settings import IdentitySettings

S256_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7636 4.2: a SHA-256 in base64url without padding


class AuthorizationRequest(BaseModel):
    """The parameters of /authorize; those a stand-in has no use for (connection, screen_hint, ...) are ignored."""

    response_type: str = ""
    client_id: str = ""
    redirect_uri: str = ""
    scope: str = "openid"
    state: str = ""
    nonce: str = ""
    audience: str = ""
    code_challenge: str = ""
    code_challenge_method: str = ""
    prompt: str = ""
    login_hint: str = ""

    def refusal(self, error: str, description: str) -> RedirectRefusal:
        return RedirectRefusal(self.redirect_uri, self.state, error, description)

    def check(self, settings: IdentitySettings) -> None:
        """Raise unless a code may be given for this request."""
        if self.client_id != settings.client_id:
            raise PageRefusal(403, "Unknown client", "No application has this client_id.")
        if self.redirect_uri not in settings.callback_urls:
            raise PageRefusal(
                403, "Callback URL mismatch.", "The provided redirect_uri is not in the list of allowed callback URLs."
            )
        if self.response_type != "code":
            raise self.refusal("unsupported_response_type", "This stand-in knows response_type=code")
        if self.code_challenge_method != "S256" or not S256_CHALLENGE.fullmatch(self.code_challenge):
            raise self.refusal("invalid_request", "PKCE with code_challenge_method=S256 is required")
        if self.audience not in {"", settings.audience}:
            raise self.refusal("access_denied", unknown_audience(self.audience))


class Decision(AuthorizationRequest):
    """The same request come back from the page, with the person who was chosen ('' for nobody)."""

    person: str = ""


def authorize_routes(settings: IdentitySettings, codes: Codes) -> APIRouter:
    router = APIRouter()

    @router.get("/authorize")
    async def authorize(request: Request, asked: Annotated[AuthorizationRequest, Query()]) -> HTMLResponse:
        asked.check(settings)
        if asked.prompt == "none":
            # The stand-in keeps no session of its own: whoever asks for a silent login must ask the person.
            raise asked.refusal("login_required", "Login required")
        return people_page(request, asked.model_dump(exclude={"prompt"}), asked.redirect_uri, asked.login_hint)

    @router.post("/authorize/decision")
    async def decide(decision: Annotated[Decision, Form()]) -> RedirectResponse:
        decision.check(settings)
        person = PEOPLE.get(decision.person)
        if person is None:
            raise decision.refusal("access_denied", "User did not authorize the request")
        grant = Grant(person, frozenset(decision.scope.split()), decision.audience, decision.nonce)
        code = codes.issue(grant, redirect_uri=decision.redirect_uri, challenge=decision.code_challenge)
        return back_to(decision.redirect_uri, {"code": code, "state": decision.state})

    return router


def back_to(redirect_uri: str, parameters: dict[str, str]) -> RedirectResponse:
    query = urlencode({name: value for name, value in parameters.items() if value})
    joint = "&" if "?" in redirect_uri else "?"
    return RedirectResponse(f"{redirect_uri}{joint}{query}" if query else redirect_uri, status_code=303)
