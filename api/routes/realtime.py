"""The WebSocket service's two calls, in their old shapes: subscribing somebody, and sending to inboxes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import Field

from api.auth import current_user_or_anonymous
from api.dependencies import House
from api.intake import Intake, invalid, submission_of
from api.problems import Problem
from api.subscribing import TopicNames, refuse_closed, refuse_others
from infrastructure.auth.user import User
from schemas.audiences import EVERYONE
from schemas.base import Value
from schemas.cloudevents import TRACEPARENT
from schemas.legacy import from_realtime
from schemas.pointers import field_errors
from schemas.requests import MAX_RECIPIENTS, Name, NotificationRequest, RequestId, Slug

router = APIRouter(tags=["legacy"], deprecated=True)

Caller = Annotated[User, Depends(current_user_or_anonymous)]
IdempotencyKey = Annotated[RequestId | None, Header()]


class SubscribeIn(Value):
    user_id: Name
    topics: TopicNames


@router.post("/subscribe", operation_id="legacySubscribe")
async def subscribe(body: SubscribeIn, caller: Caller, house: House) -> dict[str, Any]:
    """The user is the caller, or anybody for those with `people:write`: the older service believed whatever it was told."""
    refuse_others(caller, body.user_id)
    refuse_closed(caller, body.topics, house.settings)
    environment = caller.environment or house.settings.default_environment
    await house.stores.contacts.subscribe(environment, body.user_id, (*body.topics, EVERYONE))
    return {"status": "subscribed", "user_id": body.user_id, "topics": list(body.topics)}


class SendIn(Value):
    recipient_ids: Annotated[tuple[Name, ...], Field(max_length=MAX_RECIPIENTS)] | None = None
    topics: Annotated[tuple[Slug, ...], Field(max_length=MAX_RECIPIENTS)] | None = None
    message: Annotated[str, Field(min_length=1, max_length=40_000)]
    broadcast: bool | None = None


@router.post("/send-notification", operation_id="legacySendNotification")
async def send(
    body: SendIn, request: Request, response: Response, caller: Caller, house: House, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Into inboxes; answered when Kafka has it. Nobody named is 422, topics and broadcast need `notifications:broadcast`."""
    if not caller.may("notifications:send"):
        raise Problem(403, "Forbidden", "This needs the permission notifications:send.")
    said = body.model_dump(mode="json", exclude_none=True)
    served = house.settings.default_environment, house.settings.environments
    submission = submission_of(_request(said), idempotency_key, caller, *served)
    acceptance = await Intake(house).accept(submission, request.headers.get(TRACEPARENT, ""), entrance="legacy")
    response.headers["Location"] = acceptance.location
    ids = {"notification_id": submission.notification_id, "request_id": submission.request_id}
    return {"status": "notification_sent", "detail": said | ids}


def _request(said: dict[str, Any]) -> NotificationRequest:
    try:
        return NotificationRequest.model_validate(from_realtime(said))
    except ValueError as error:
        raise invalid(field_errors(error)) from error
