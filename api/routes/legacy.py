"""The API of the older Redis Streams service, unchanged for its clients; a message goes into Kafka like any request.

No description of its answers survives beyond "JSON", so they carry a `status` and what we know.
"""

from typing import Any, cast

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from api.intake import Acceptance, Intake, Submission
from api.legacy_door import ADMITTED, DEPRECATED, LegacyClient, door_of
from api.problems import Problem
from infrastructure.auth.legacy import LegacyCaller, derived_request_id
from infrastructure.redis.clearing import clear_acknowledged, stream_status
from schemas import topics
from schemas.cloudevents import TRACEPARENT
from schemas.legacy import LOW_STOCK_STREAM, from_publish
from schemas.pointers import field_errors
from schemas.requests import NotificationRequest
from schemas.topics import Environment

log = structlog.get_logger()
router = APIRouter(tags=["legacy"], deprecated=True)


@router.post("/publish/{environment}", operation_id="legacyPublish")
async def publish(environment: str, message: str, client: LegacyClient, request: Request) -> JSONResponse:
    """One message for the environment's Slack; answered when Kafka has acknowledged it.

    An exact repeat creates nothing and gets the first answer with `Idempotent-Replayed: true`.
    """
    served = _served(environment, request)
    request_id = _request_id(client, request)
    replays, same = door_of(request).replays, f"{client.request}:{request_id}"
    first = await replays.first_answer(same)
    if first is not None:
        return _answer(first, {"Idempotent-Replayed": "true"})
    acceptance = await _accept(_notification(message, request_id), served, request_id, request)
    answer = {
        "status": "published",
        "environment": served,
        "message_id": str(acceptance.position),
        "notification_id": acceptance.submission.notification_id,
        "request_id": request_id,
    }
    await replays.remember(same, answer)
    log.info("legacy.published", notification=answer["notification_id"], environment=served, signature=client.version)
    return _answer(answer, {"Idempotent-Replayed": "true"} if acceptance.replayed else None)


@router.get("/status", dependencies=ADMITTED, operation_id="legacyStatusAll")
async def status_of_all(request: Request) -> JSONResponse:
    """Every environment served here."""
    environments = request.app.state.resources.settings.environments
    return _answer({"status": "ok", "environments": {name: await _status(name, request) for name in environments}})


@router.get("/status/{environment}", dependencies=ADMITTED, operation_id="legacyStatus")
async def status(environment: str, request: Request) -> JSONResponse:
    """The stream's length and what of it waits for Kafka's acknowledgement, and how far routing is behind in Kafka."""
    return _answer({"status": "ok", **await _status(_served(environment, request), request)})


@router.delete("/clear", dependencies=ADMITTED, operation_id="legacyClearAll")
async def clear_all(request: Request) -> JSONResponse:
    """Every environment served here."""
    environments = request.app.state.resources.settings.environments
    return _answer({"status": "cleared", "environments": {name: await _clear(name, request) for name in environments}})


@router.delete("/clear/{environment}", dependencies=ADMITTED, operation_id="legacyClear")
async def clear(environment: str, request: Request) -> JSONResponse:
    """Takes out of the stream what Kafka has acknowledged; what it has not is kept and counted."""
    return _answer({"status": "cleared", **await _clear(_served(environment, request), request)})


def _served(environment: str, request: Request) -> Environment:
    known = request.app.state.resources.settings.environments
    if environment not in known:
        raise Problem(
            404,
            "Unknown environment",
            f"This deployment serves {', '.join(known)}.",
            headers=DEPRECATED,
        )
    return cast(Environment, environment)


def _request_id(client: LegacyCaller, request: Request) -> str:
    """The client's own id, else one derived from the request; an id that was signed is not replaced by one that was not."""
    key = request.headers.get("idempotency-key")
    if key and client.message_id and key != client.message_id:
        detail = "Idempotency-Key and the signed id differ; send one, or the same twice."
        raise Problem(422, "Two request ids", detail, headers=DEPRECATED)
    return key or derived_request_id(client)


def _notification(message: str, request_id: str) -> NotificationRequest:
    try:
        return NotificationRequest.model_validate(from_publish(message) | {"request_id": request_id})
    except ValidationError as error:
        errors = [{"pointer": found.pointer, "detail": found.detail} for found in field_errors(error)]
        raise Problem(422, "Invalid message", "See errors.", errors=errors, headers=DEPRECATED) from error


async def _accept(
    notification: NotificationRequest, environment: Environment, request_id: str, request: Request
) -> Acceptance:
    """As every request over HTTP; 409 for another message under an id that came before."""
    resources = request.app.state.resources
    submission = Submission(notification, environment, resources.settings.legacy_producer, request_id)
    try:
        return await Intake(resources).accept(submission, request.headers.get(TRACEPARENT, ""), entrance="legacy")
    except Problem as problem:
        problem.headers |= DEPRECATED
        raise


def _streams(environment: Environment, request: Request) -> list[str]:
    """The environment's stream; the inventory service's has no environment in its name and is the default one's."""
    is_default = environment == request.app.state.resources.settings.default_environment
    return [f"notifications:{environment}", *([LOW_STOCK_STREAM] if is_default else [])]


async def _status(environment: Environment, request: Request) -> dict[str, Any]:
    redis = request.app.state.resources.redis
    found = [await stream_status(redis, stream) for stream in _streams(environment, request)]
    return {
        "environment": environment,
        "stream": found[0].stream,
        "length": found[0].length,
        "pending": found[0].pending,
        "streams": [{"stream": one.stream, "length": one.length, "pending": one.pending} for one in found],
        "kafka": _routing_lag(environment, request),
    }


def _routing_lag(environment: Environment, request: Request) -> dict[str, Any] | None:
    """What the lag watch saw last; nothing while it has seen nothing."""
    group = topics.group(environment, "route")
    for seen in request.app.state.resources.lag.report:
        if seen.group == group:
            return {"group": group, "status": seen.status, "lag": seen.lag, "lag_s": seen.lag_s}
    return None


async def _clear(environment: Environment, request: Request) -> dict[str, Any]:
    redis = request.app.state.resources.redis
    found = [await clear_acknowledged(redis, stream) for stream in _streams(environment, request)]
    cleared, kept = sum(one.cleared for one in found), sum(one.kept for one in found)
    log.info("legacy.cleared", environment=environment, cleared=cleared, kept=kept)
    return {"environment": environment, "cleared": cleared, "kept": kept}


def _answer(content: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(content, headers={**DEPRECATED, "Cache-Control": "no-store", **(headers or {})})
