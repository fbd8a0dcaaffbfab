"""Webhooks and SMS: addresses and answers, as far as a sender can tell them from the real ones."""

import secrets
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import JsonValue

from infrastructure.local.sandbox.inbound import SHOWN_HEADERS, Body, receive
from infrastructure.local.sandbox.reception import Answer, Reception


def webhook_routes(reception: Reception) -> APIRouter:
    router = APIRouter()

    @router.post("/webhook/{name}")
    async def webhook(name: str, request: Request, body: Body) -> Response:
        """A receiver of Standard Webhooks; body and signature are kept as they came, so a test can verify them."""
        headers: JsonValue = {key: request.headers[key] for key in SHOWN_HEADERS if key in request.headers}
        shown: dict[str, JsonValue] = {"name": name, "headers": headers, "body": body}
        return await receive(
            reception,
            "webhook",
            request,
            shown,
            normal=Answer.json(200, {"received": True}),
            refuse=lambda status: Answer.json(status, {"error": "refused"}),
        )

    return router


def sms_routes(reception: Reception) -> APIRouter:
    router = APIRouter()

    @router.post("/sms/2010-04-01/Accounts/{sid}/Messages.json")
    async def send(sid: str, request: Request, body: Body) -> Response:
        """https://www.twilio.com/docs/messaging/api/message-resource"""
        fields = dict(parse_qsl(body))
        missing = next((name for name in ("To", "Body") if not fields.get(name)), None)
        created: JsonValue = {
            "sid": f"SM{secrets.token_hex(16)}",
            "account_sid": sid,
            "status": "queued",
            "to": fields.get("To"),
            "from": fields.get("From"),
            "body": fields.get("Body"),
            "error_code": None,
        }
        shown: dict[str, JsonValue] = {
            "to": fields.get("To", ""),
            "from": fields.get("From") or fields.get("MessagingServiceSid", ""),
            "text": fields.get("Body", ""),
        }
        normal = _refuse_sms(400, 21604 if missing == "To" else 21602) if missing else Answer.json(201, created)
        return await receive(reception, "sms", request, shown, normal=normal, refuse=_refuse_sms)

    return router


def _refuse_sms(status: int, code: int | None = None) -> Answer:
    code = code or {400: 21211, 401: 20003, 429: 20429}.get(status, 20500)
    return Answer.json(status, {"code": code, "message": "The message was not accepted", "status": status})
