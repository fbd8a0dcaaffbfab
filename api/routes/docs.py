"""The API's documentation as pages, from assets of our own: nothing is asked of any other site."""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

from api.security_headers import POLICY, content_policy

PAGES = Path(__file__).parents[1] / "pages"

# Both libraries draw their icons as data URLs.
ICONS = "img-src 'self' data:"
# What Redoc 2.5.4 writes into the page as it starts: an empty style, filled by script, and that of its scroll bars.
STYLES = (
    "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
)

router = APIRouter(include_in_schema=False)


@router.get("/docs")
@router.get("/api/v1/docs")
async def swagger(request: Request) -> FileResponse:
    """Every operation, to be tried out with the session of this browser."""
    return _page("swagger.html", request, ICONS)


@router.get("/redoc")
@router.get("/api/v1/redoc")
async def redoc(request: Request) -> FileResponse:
    """The same as a text to read."""
    return _page("redoc.html", request, ICONS, STYLES)


@router.get("/asyncapi")
async def asyncapi(request: Request) -> FileResponse:
    """The Kafka topics, their records, and who reads and writes them."""
    return _page("asyncapi.html", request, ICONS)


def _page(name: str, request: Request, *also: str) -> FileResponse:
    policy = content_policy(request.app.state.resources.settings, also=also)
    return FileResponse(PAGES / name, media_type="text/html", headers={POLICY: policy, "Cache-Control": "no-cache"})
