"""Sending many at once, and sending oneself a test."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import Field

from api.auth import CurrentUser, requires
from api.batch import Batch
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.intake import Intake, invalid, submission_of
from api.limits import admit
from api.problems import RETRY_AFTER_S, Problem
from infrastructure.auth.user import User
from schemas.base import Value
from schemas.cloudevents import TRACEPARENT
from schemas.pointers import field_errors
from schemas.requests import NotificationRequest, UnreadableJson, read_batch

router = APIRouter(prefix="/api/v1/notifications", tags=["notifications"])

CanSend = Annotated[User, Depends(requires("notifications:send"))]
# shorter than a request id may be, so that a number fits behind it
BaseId = Annotated[str | None, Header(alias="Idempotency-Key", max_length=190, pattern=r"^[^\x00-\x1f\x7f]+$")]

TEST_MESSAGE = {"title": "A test notification", "body": "It works: this is what a notification to you looks like."}


class WishedTest(Value):
    """Where the test should arrive: always in one's inbox, on request by email too."""

    channels: tuple[Literal["in_app", "email"], ...] = Field(
        default=("in_app",), max_length=2, examples=[["in_app", "email"]]
    )


@router.post("/batch", status_code=202, operation_id="sendBatch")
async def send_batch(
    request: Request, response: Response, caller: CanSend, house: House, idempotency_key: BaseId = None
) -> dict[str, Any]:
    """Up to 100 requests, each with a verdict of its own in `data.items`: 202 when all were accepted, else 200.

    Each counts as one call against the limit. `Idempotency-Key` gives those without `request_id` the ids `KEY:0`, `KEY:1` …;
    with it, or with ids of their own, repeating the whole batch is safe.
    """
    try:
        requests = read_batch(await request.body())
    except UnreadableJson as error:
        raise Problem(400, "Unreadable body", str(error)) from error
    if len(requests) > 1:
        await admit(request, caller, cost=len(requests) - 1)
    batch = Batch(house, caller, idempotency_key, request.headers.get(TRACEPARENT, ""))
    items = await batch.accept(requests)
    accepted = sum(item["error"] is None for item in items)
    response.status_code = 202 if accepted == len(items) else 200
    if any(item["status"] == 503 for item in items):
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    said = "Accepted: Kafka has them." if accepted == len(items) else "Not all were accepted; see items."
    return ok({"items": items}, said, meta={"accepted": accepted, "refused": len(items) - accepted})


@router.post("/test", status_code=202, operation_id="sendTest")
async def send_test(
    request: Request,
    response: Response,
    user: CurrentUser,
    house: House,
    environment: InEnvironment,
    body: WishedTest | None = None,
) -> dict[str, Any]:
    """Sends the caller a test notification. Needs no permission: it reaches nobody else."""
    if user.kind != "person":
        raise Problem(403, "Forbidden", "A program has no inbox; log in as a person.")
    channels = sorted({"in_app", *(body or WishedTest()).channels})
    if "email" in channels:
        contact = await house.stores.contacts.get(environment, user.id)
        if contact is None or not contact.email:
            raise Problem(409, "No address", "No email address of yours is known here.", type="no_address")
    asked = {"to": [{"user": user.id}], "channels": channels, "message": TEST_MESSAGE, "environment": environment}
    try:
        wanted = NotificationRequest.model_validate(asked)
    except ValueError as error:
        raise invalid(field_errors(error)) from error
    submission = submission_of(wanted, None, user, environment, house.settings.environments)
    acceptance = await Intake(house).accept(submission, request.headers.get(TRACEPARENT, ""))
    response.headers["Location"] = acceptance.location
    return ok(acceptance.described(), "Accepted: it is on its way to you.")
