"""One-click unsubscribe (RFC 8058). The signed link is the credential: it can switch one category's e-mail off, no more."""

from html import escape
from pathlib import Path
from string import Template

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from api.dependencies import House
from api.preferences import Changing
from api.security_headers import POLICY, content_policy
from api.wiring import ApiResources
from infrastructure.resources import seal_keys
from schemas.preference_changes import Change, Setting
from schemas.unsubscribe import UnsubscribeScope, read_token

router = APIRouter(include_in_schema=False)

_PAGE = Template((Path(__file__).parents[1] / "pages/unsubscribe.html").read_text(encoding="utf-8"))
_FORM = '<form method="post"><button type="submit" name="List-Unsubscribe" value="One-Click">Unsubscribe</button></form>'


@router.get("/unsubscribe/{token}")
async def ask(token: str, house: House) -> HTMLResponse:
    """A page with one button. It changes nothing: whatever scans links in mail only looks."""
    scope = _scope(token, house)
    text = f"E-mails of the category <strong>{escape(scope.category)}</strong> will no longer be sent to you."
    return _page(house, 200, "Unsubscribe?", text, form=True)


@router.post("/unsubscribe/{token}")
async def unsubscribe(token: str, house: House) -> HTMLResponse:
    """Without login, and as often as one likes. 202 when it is accepted and not yet carried out."""
    scope = _scope(token, house)
    what = f"e-mails of the category <strong>{escape(scope.category)}</strong>"
    if scope.category in house.settings.mandatory_categories:
        return _page(house, 409, "Not possible", f"There is no unsubscribing from {what}: you need to get them.")
    setting = Setting(level="category", name=scope.category, channel=scope.channel, enabled=False)
    _, verdict = await Changing(house, scope.environment, scope.person).change(Change(settings=(setting,)))
    if verdict is None:
        return _page(house, 202, "Accepted", f"In a moment you will no longer be sent {what}.")
    return _page(house, 200, "Unsubscribed", f"You will no longer be sent {what}.")


def _scope(token: str, house: ApiResources) -> UnsubscribeScope:
    scope = read_token(seal_keys(house.settings), token)
    if scope is None or scope.environment not in house.settings.environments:
        raise HTTPException(404, "This link is not one of ours, or too old. Log in to change what reaches you.")
    return scope


def _page(house: ApiResources, status: int, title: str, text: str, *, form: bool = False) -> HTMLResponse:
    policy = content_policy(house.settings).replace("form-action 'none'", "form-action 'self'")
    # the address is the credential: no other site is to see it, and no cache to keep what it says
    headers = {POLICY: policy, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
    return HTMLResponse(_PAGE.substitute(title=title, text=text, form=_FORM if form else ""), status, headers)
