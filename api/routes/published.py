"""The JSON Schemas and the AsyncAPI document, at addresses that stay. Everybody may know them; nobody is asked anything."""

from fastapi import APIRouter
from fastapi.responses import Response

from api.published import as_text

SCHEMA, ASYNCAPI = "application/schema+json", "application/json"
FRESH = {"Cache-Control": "public, max-age=300"}

router = APIRouter(include_in_schema=False)


@router.get("/schemas/request.json")
async def request_schema() -> Response:
    """What a producer writes, over HTTP or to Kafka."""
    return _published("request.schema.json", SCHEMA)


@router.get("/schemas/receipt.json")
async def receipt_schema() -> Response:
    """What a producer reads."""
    return _published("receipt.schema.json", SCHEMA)


@router.get("/schemas/status.json")
async def status_schema() -> Response:
    return _published("status.schema.json", SCHEMA)


@router.get("/asyncapi.json")
async def asyncapi_document() -> Response:
    return _published("asyncapi.json", ASYNCAPI)


def _published(name: str, media_type: str) -> Response:
    return Response(as_text(name), media_type=media_type, headers=FRESH)
