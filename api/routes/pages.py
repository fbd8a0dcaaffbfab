"""The pages people open. They hold no data: each asks the API, which asks who is calling."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from api.problems import Problem
from api.security_headers import POLICY, content_policy
from infrastructure.settings import Settings

PAGES = Path(__file__).parents[1] / "pages"
# revalidated each time, so that a page and the scripts it names are of one version
FRESH = {"Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


def the_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.resources.settings
    return settings


Configured = Annotated[Settings, Depends(the_settings)]


@router.get("/")
async def start(settings: Configured) -> Response:
    """The playground where everything runs on this computer, elsewhere the inbox."""
    if settings.deployment != "local":
        return RedirectResponse("/inbox", 303)
    policy = content_policy(settings, connect=[settings.sandbox_url] if settings.sandbox_url else [])
    return FileResponse(PAGES / "playground.html", media_type="text/html", headers={**FRESH, POLICY: policy})


@router.get("/inbox")
async def inbox() -> FileResponse:
    return FileResponse(PAGES / "inbox.html", media_type="text/html", headers=FRESH)


@router.get("/playground/config")
async def playground_config(settings: Configured) -> dict[str, Any]:
    """Where the playground finds its neighbours; nothing secret is among them."""
    if settings.deployment != "local":
        raise Problem(404, "Not found", "There is a playground only with DEPLOYMENT=local.")
    return {
        "sandbox_url": settings.sandbox_url,
        "environments": settings.environments,
        "default_environment": settings.default_environment,
        "kafka_bootstrap_servers": settings.kafka_bootstrap_servers,
    }
