from pathlib import Path
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from infrastructure.local.identity.people import PEOPLE
from infrastructure.local.identity.refusals import PageRefusal

HERE = Path(__file__).parent
STYLESHEET = HERE / "identity.css"
_templates = Jinja2Templates(directory=HERE)


def people_page(request: Request, hidden: dict[str, str], redirect_uri: str, login_hint: str) -> HTMLResponse:
    """One button for each demo person; it works without JavaScript."""
    hinted = next((p.sub for p in PEOPLE.values() if login_hint and login_hint in {p.sub, p.email}), "")
    context = {"people": list(PEOPLE.values()), "hidden": hidden, "hinted": hinted, "app": urlsplit(redirect_uri).netloc}
    return _templates.TemplateResponse(request, "people.html", context, headers=_headers(redirect_uri))


def refusal_page(request: Request, refusal: PageRefusal) -> HTMLResponse:
    context = {"title": refusal.title, "description": refusal.description}
    return _templates.TemplateResponse(request, "refusal.html", context, refusal.status, headers=_headers(""))


def _headers(redirect_uri: str) -> dict[str, str]:
    """Browsers hold the redirect after a form against form-action, so the callback's origin is named there."""
    parts = urlsplit(redirect_uri)
    callback = f" {parts.scheme}://{parts.netloc}" if redirect_uri else ""
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'self'; form-action 'self'{callback}; base-uri 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
