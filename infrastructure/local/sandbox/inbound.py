import asyncio
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.responses import Response
from pydantic import JsonValue
from pydantic_core import from_json

from infrastructure.local.sandbox.calls import Provider
from infrastructure.local.sandbox.connection import Silence
from infrastructure.local.sandbox.faults import SILENT
from infrastructure.local.sandbox.reception import Answer, Reception, Refuse

BODY_LIMIT = 1 << 20
DELIVERY_HEADERS = ("x-carillon-delivery", "idempotency-key", "webhook-id")
SHOWN_HEADERS = (*DELIVERY_HEADERS, "webhook-timestamp", "webhook-signature", "content-type", "user-agent")


async def read_body(request: Request) -> str:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_LIMIT:
            raise HTTPException(413, "The sandbox reads up to 1 MiB")
        chunks.append(chunk)
    return b"".join(chunks).decode(errors="replace")


Body = Annotated[str, Depends(read_body)]


def parse(body: str) -> Any:
    """The JSON in a body, or None: what does not parse is still recorded, as text."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        return None


async def receive(
    reception: Reception,
    provider: Provider,
    request: Request,
    shown: dict[str, JsonValue],
    *,
    normal: Answer,
    refuse: Refuse,
) -> Response:
    """Record one HTTP call, then answer it or stay silent as the fault says."""
    delivery = next((request.headers[name] for name in DELIVERY_HEADERS if name in request.headers), "")
    summary = {"path": request.url.path, **shown}
    fault, answer = reception.receive(provider, delivery, summary, normal=normal, refuse=refuse)
    if fault.mode in SILENT:
        return Silence(cut=fault.mode != "hang")
    if fault.mode == "slow":
        await asyncio.sleep(fault.delay_s)
    return Response(answer.body, answer.status, answer.headers, answer.media_type)
