import time
from dataclasses import replace
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import JsonValue

from infrastructure.local.sandbox.calls import Call, CallLog
from infrastructure.local.sandbox.inbound import Body, parse, receive
from infrastructure.local.sandbox.reception import Answer, Reception

_WEBHOOK_WORDS = {
    400: "invalid_payload",
    403: "action_prohibited",
    404: "no_service",
    410: "channel_is_archived",
    429: "rate_limited",
}


def slack_routes(reception: Reception) -> APIRouter:
    router = APIRouter(prefix="/slack")

    @router.post("/services/{path:path}")
    async def incoming_webhook(request: Request, body: Body) -> Response:
        """https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks"""
        message = parse(_slack_payload(request, body))
        shown: dict[str, JsonValue] = {"message": message if isinstance(message, dict) else body}
        return await receive(
            reception,
            "slack",
            request,
            shown,
            normal=_of_webhook(message),
            refuse=lambda status: Answer(status, _WEBHOOK_WORDS.get(status, "rollup_error")),
        )

    @router.post("/api/chat.postMessage")
    async def post_message(request: Request, body: Body) -> Response:
        """https://docs.slack.dev/reference/methods/chat.postMessage: most refusals come with status 200."""
        message = parse(body)
        if not isinstance(message, dict):
            message = dict(parse_qsl(body))
        error = "" if message.get("channel") else "channel_not_found"
        error = error or ("" if _has_content(message) else "no_text")
        ts = f"{time.time():.6f}"
        told: JsonValue = {"ok": True, "channel": str(message.get("channel")), "ts": ts, "message": message}
        refused = replace(Answer.json(200, {"ok": False, "error": error}), refused=True)
        return await receive(
            reception,
            "slack",
            request,
            {"message": message, "ts": ts},
            normal=refused if error else Answer.json(200, told),
            refuse=_refuse_slack_api,
        )

    @router.get("/api/conversations.history")
    async def history(channel: str = "", oldest: float = 0.0, limit: int = 100, cursor: str = "") -> Response:
        """https://docs.slack.dev/reference/methods/conversations.history: what was posted, newest first, page by page."""
        answer = _history(reception.calls, channel, oldest, int(cursor or 0), limit)
        return Response(answer.body, answer.status, media_type=answer.media_type)

    return router


def _of_webhook(message: JsonValue) -> Answer:
    if not isinstance(message, dict):
        return Answer(400, "invalid_payload")
    return Answer(200, "ok") if _has_content(message) else Answer(400, "no_text")


def _history(calls: CallLog, channel: str, oldest: float, start: int, limit: int) -> Answer:
    if not channel:
        return Answer.json(200, {"ok": False, "error": "channel_not_found"})
    posted = [
        _as_history(call)
        for call in calls.recent(provider="slack", limit=10_000)
        if call.accepted and _posted_to(call, channel) and float(str(call.request["ts"])) >= oldest
    ]
    page: list[JsonValue] = list(posted[start : start + limit])
    following = str(start + limit) if start + limit < len(posted) else ""
    return Answer.json(200, {"ok": True, "messages": page, "response_metadata": {"next_cursor": following}})


def _posted_to(call: Call, channel: str) -> bool:
    message = call.request.get("message")
    return "ts" in call.request and isinstance(message, dict) and message.get("channel") == channel


def _as_history(call: Call) -> JsonValue:
    message = call.request["message"]
    assert isinstance(message, dict)  # noqa: S101 - _posted_to has seen it
    return {"type": "message", "ts": call.request["ts"], "text": message.get("text"), "metadata": message.get("metadata")}


def _slack_payload(request: Request, body: str) -> str:
    """Slack reads JSON, or a form whose field `payload` holds JSON."""
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body)).get("payload", "")
    return body


def _has_content(message: dict[str, JsonValue]) -> bool:
    return any(message.get(part) for part in ("text", "blocks", "attachments"))


def _refuse_slack_api(status: int) -> Answer:
    if status == 400:
        return Answer.json(200, {"ok": False, "error": "channel_not_found"})
    return Answer.json(status, {"ok": False, "error": "ratelimited" if status == 429 else "internal_error"})
