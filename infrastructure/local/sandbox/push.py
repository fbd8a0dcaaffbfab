"""Push services: Web Push, FCM and APNs, as far as a sender can tell them from the real ones."""

import secrets
import uuid
from typing import Annotated
from urllib.parse import parse_qsl

import http_ece
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from py_vapid import Vapid02
from pydantic import JsonValue

from infrastructure.local.sandbox.browser import decrypted, subscription
from infrastructure.local.sandbox.inbound import BODY_LIMIT, Body, parse, receive
from infrastructure.local.sandbox.reception import Answer, Reception

_MOST_BYTES = 4096
_TOKEN = "sandbox-access-token"  # noqa: S105 - opens the sandbox alone
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SHOWN = ("ttl", "topic", "urgency", "content-encoding")


async def _read_bytes(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise HTTPException(413, "The sandbox reads up to 1 MiB")
    return bytes(body)


Bytes = Annotated[bytes, Depends(_read_bytes)]


def web_push_routes(reception: Reception) -> APIRouter:
    router = APIRouter(prefix="/webpush")

    @router.get("/{browser}")
    async def subscribe(browser: str, request: Request) -> dict[str, object]:
        """The subscription of a browser of that name, to register as a device."""
        return subscription(str(request.base_url), browser)

    @router.post("/{browser}")
    async def push(browser: str, request: Request, body: Bytes) -> Response:
        """RFC 8030 section 5: what a push service of a browser takes, and what it reads of none but is shown here."""
        text, refused = _read(browser, request, body)
        message = parse(text)
        headers: JsonValue = {name: request.headers[name] for name in _SHOWN if name in request.headers}
        shown: dict[str, JsonValue] = {"browser": browser, "headers": headers, "message": message or text}
        created = Answer(201, "", headers={"Location": f"{request.base_url}messages/{secrets.token_hex(8)}"})
        return await receive(
            reception, "web_push", request, shown, normal=refused or created, refuse=lambda status: Answer(status, "refused")
        )

    return router


def _read(browser: str, request: Request, body: bytes) -> tuple[str, Answer | None]:
    """The text as the browser would read it, and why the service or the browser refuses it, if so."""
    if len(body) > _MOST_BYTES:
        return "", Answer(413, "at most 4096 bytes")
    if not request.headers.get("ttl", "").isdigit():
        return "", Answer(400, "TTL is needed (RFC 8030 section 5.2)")
    if len(request.headers.get("topic", "")) > 32:
        return "", Answer(400, "Topic has at most 32 characters (RFC 8030 section 5.4)")
    try:
        known = Vapid02.verify(request.headers.get("authorization", ""))
    except Exception:  # pylint: disable=broad-exception-caught  # whatever a wrong header makes the library stumble over
        known = False
    if not known:
        return "", Answer(403, "not signed by a VAPID key (RFC 8292)")
    try:
        return decrypted(browser, body), None
    except (http_ece.ECEException, ValueError):
        return "", Answer(400, "not encrypted for this browser (RFC 8291)")


def fcm_routes(reception: Reception) -> APIRouter:
    router = APIRouter(prefix="/fcm")

    @router.post("/token")
    async def token(body: Body) -> Response:
        """RFC 7523: an access token for an assertion of the service account. Not recorded: nobody is told anything by it."""
        form = dict(parse_qsl(body))
        if form.get("grant_type") != _GRANT or form.get("assertion", "").count(".") != 2:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse({"access_token": _TOKEN, "token_type": "Bearer", "expires_in": 3599})

    @router.post("/v1/projects/{project}/messages:send")
    async def send(project: str, request: Request, body: Body) -> Response:
        """https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send"""
        asked = parse(body)
        message = asked.get("message") if isinstance(asked, dict) else None
        valid = isinstance(message, dict) and any(message.get(target) for target in ("token", "topic", "condition"))
        name: JsonValue = {"name": f"projects/{project}/messages/0:{secrets.randbelow(10**16)}"}
        normal = Answer.json(200, name) if valid else _refuse_fcm(400)
        if request.headers.get("authorization") != f"Bearer {_TOKEN}":
            normal = _refuse_fcm(401)
        shown: dict[str, JsonValue] = {"project": project, "message": message if valid else body}
        return await receive(reception, "fcm", request, shown, normal=normal, refuse=_refuse_fcm)

    return router


_FCM_WORDS = {
    400: ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    401: ("UNAUTHENTICATED", ""),
    404: ("NOT_FOUND", "UNREGISTERED"),
    429: ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
    503: ("UNAVAILABLE", "UNAVAILABLE"),
}


def _refuse_fcm(status: int) -> Answer:
    """https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode: FCM's own word stands in the details."""
    word, own = _FCM_WORDS.get(status, ("INTERNAL", "INTERNAL"))
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    details: JsonValue = [{"@type": kind, "errorCode": own}] if own else []
    error: JsonValue = {"code": status, "message": "The message was not accepted", "status": word, "details": details}
    return Answer.json(status, {"error": error})


def apns_routes(reception: Reception) -> APIRouter:
    router = APIRouter(prefix="/apns")

    @router.post("/3/device/{token}")
    async def send(token: str, request: Request, body: Body) -> Response:
        """https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns"""
        payload = parse(body)
        headers: JsonValue = {name: value for name, value in request.headers.items() if name.startswith("apns-")}
        shown: dict[str, JsonValue] = {"token": token, "headers": headers, "payload": payload or body}
        sent_as = request.headers.get("apns-id") or str(uuid.uuid4())
        reason = _flaw(request, payload, body)
        normal = _refuse_apns(*reason) if reason else Answer(200, "", headers={"apns-id": sent_as})
        return await receive(reception, "apns", request, shown, normal=normal, refuse=_refuse_apns)

    return router


def _flaw(request: Request, payload: object, body: str) -> tuple[int, str] | None:
    if len(body.encode()) > _MOST_BYTES:
        return 413, "PayloadTooLarge"
    if not request.headers.get("authorization", "").startswith("bearer ey"):
        return 403, "MissingProviderToken"
    if not request.headers.get("apns-topic"):
        return 400, "MissingTopic"
    if not isinstance(payload, dict) or "aps" not in payload:
        return 400, "PayloadEmpty"
    if len(request.headers.get("apns-collapse-id", "")) > 64:
        return 400, "BadCollapseId"
    return None


_APNS_WORDS = {400: "BadDeviceToken", 403: "InvalidProviderToken", 410: "Unregistered", 429: "TooManyRequests"}


def _refuse_apns(status: int, reason: str = "") -> Answer:
    words = _APNS_WORDS | {503: "ServiceUnavailable"}
    return Answer.json(status, {"reason": reason or words.get(status, "InternalServerError")})
