"""Sending, and what became of it."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from api.audiences import rows_shown
from api.auth import Caller, requires
from api.cancelling import Cancelling
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.etags import IfNoneMatch, unless_the_same
from api.intake import Intake, environment_of, producer_of, read_request, submission_of
from api.paths import BY_ID, NOTIFICATION_ID
from api.problems import Problem
from api.status import read_status, settled_within, timeline_of
from api.wiring import ApiResources
from infrastructure.auth.user import User
from schemas.cloudevents import TRACEPARENT
from schemas.requests import CancelRequest
from schemas.topics import Environment, group

router = APIRouter(prefix="/api/v1/notifications", tags=["notifications"])

MAX_WAIT_S = 5.0
_WAIT = re.compile(r"\bwait=(\d{1,3})\b")
_ID = Path(pattern=f"^{NOTIFICATION_ID}$")

CanSend = Annotated[User, Depends(requires("notifications:send"))]


@router.post("", status_code=202, operation_id="send")
async def send(
    request: Request,
    response: Response,
    caller: CanSend,
    house: House,
    idempotency_key: Annotated[str | None, Header(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")] = None,
    prefer: Annotated[str | None, Header(max_length=200)] = None,
) -> dict[str, Any]:
    """Accepts a request: 202 once Kafka has it. With `Prefer: wait=5` (RFC 7240) 200 and the outcome, if known in time.

    `{"cancel": "<request id>"}` takes back what the same caller sent under that id, as `/{id}/cancel` does.
    """
    served = house.settings.default_environment, house.settings.environments
    asked = read_request(await request.body())
    if isinstance(asked, CancelRequest):
        taken_back = Cancelling(house, environment_of(asked, caller, *served), producer_of(caller), asked.cancel)
        return await _cancelled(taken_back, request, response)
    submission = submission_of(asked, idempotency_key, caller, *served)
    acceptance = await Intake(house).accept(submission, request.headers.get(TRACEPARENT, ""))
    response.headers["Location"] = acceptance.location
    if acceptance.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    if (seconds := _wait_of(prefer)) > 0:
        response.headers["Preference-Applied"] = f"wait={seconds:g}"
        found = await settled_within(house, submission.environment, submission.notification_id, seconds)
        if found is not None:
            response.status_code = 200
            return ok(acceptance.described() | found, "The outcome is known.")
    return ok(acceptance.described(), "Accepted: Kafka has it.")


def _wait_of(prefer: str | None) -> float:
    found = _WAIT.search(prefer or "")
    return min(float(found[1]), MAX_WAIT_S) if found else 0.0


def _may_read(user: User, found: dict[str, Any]) -> bool:
    """Whoever sent it, whoever it reaches, and operators."""
    recipients = {delivery["recipient"] for delivery in found["deliveries"]}
    return found["producer"] == producer_of(user) or user.id in recipients or user.may("ops:read")


def _seen_by(user: User, found: dict[str, Any]) -> dict[str, Any]:
    """A recipient sees their own deliveries only; who else got it is the sender's business."""
    if found["producer"] == producer_of(user) or user.may("ops:read"):
        return found
    own = [delivery for delivery in found["deliveries"] if delivery["recipient"] == user.id]
    shown = {name: value for name, value in found.items() if name != "audience"}
    return shown | {"deliveries": own, "counts": {}}


async def _readable(house: ApiResources, user: User, environment: Environment, notification_id: str) -> dict[str, Any]:
    found = await read_status(house.stores, environment, notification_id, user.id)
    if found is not None and _may_read(user, found):
        return _seen_by(user, found)
    seen = await house.seen.get(environment, notification_id) if found is None else None
    if seen is not None and seen.producer == producer_of(user):
        return {
            "notification_id": notification_id,
            "request_id": seen.request_id,
            "environment": environment,
            "producer": seen.producer,
            "status": "ACCEPTED",
            "position": seen.position.model_dump(),
            "counts": {},
            "deliveries": [],
        }
    raise _not_known_yet(house, environment)


def _not_known_yet(house: ApiResources, environment: Environment) -> Problem:
    """Nobody's, somebody else's and not yet routed look alike; the lag of route says whether waiting may help."""
    lags = {report.group: report.lag for report in house.lag.report}
    lag = lags.get(group(environment, "route"))
    detail = "No notification of yours has this id"
    detail += f"; route has {lag} requests still to read, it may be among them." if lag else "."
    return Problem(404, "Not found", detail, type="not_known_yet")


@router.post("/{notification_id}/cancel", operation_id="cancelNotification")
async def cancel(
    notification_id: Annotated[str, _ID],
    request: Request,
    response: Response,
    user: Caller,
    house: House,
    environment: InEnvironment,
) -> dict[str, Any]:
    """Takes back what was sent. 200 with what became of each delivery: stopped, under_way, sent, recalled, digested, ended.

    202 when that is not known yet; ask again, or look at the notification.
    """
    found = await _readable(house, user, environment, notification_id)
    own = found["producer"] == producer_of(user) and user.may("notifications:send")
    if not own and not user.may("ops:write"):
        raise Problem(403, "Forbidden", "Only who sent it, or an operator with ops:write, may take it back.")
    taken_back = Cancelling(house, environment, found["producer"], found["request_id"])
    if taken_back.notification_id != notification_id:
        detail = "A digest is not a request: take back the events it is made of, while it is open."
        raise Problem(409, "A digest", detail, type="is_a_digest")
    return await _cancelled(taken_back, request, response)


async def _cancelled(taken_back: Cancelling, request: Request, response: Response) -> dict[str, Any]:
    carried_out, answer = await taken_back.cancel(request.headers.get(TRACEPARENT, ""))
    response.status_code = 200 if carried_out else 202
    if not carried_out:
        return ok(answer, "Accepted: it will be carried out; nothing new begins.")
    nothing_yet = "Nothing has been planned under this id; what comes under it will be stopped."
    return ok(answer, "Cancelled." if answer["deliveries"] else nothing_yet)


@router.get(BY_ID, operation_id="getNotification")
async def get(
    notification_id: Annotated[str, _ID],
    user: Caller,
    house: House,
    environment: InEnvironment,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """What became of it: every planned delivery with its state and reason."""
    return unless_the_same(ok(await _readable(house, user, environment, notification_id)), if_none_match)


@router.get("/{notification_id}/timeline", operation_id="getTimeline")
async def timeline(
    notification_id: Annotated[str, _ID], user: Caller, house: House, environment: InEnvironment
) -> dict[str, Any]:
    """Every step with its place in Kafka, its attempt, and what the provider answered."""
    found = await _readable(house, user, environment, notification_id)
    visible = {delivery["delivery_id"] for delivery in found["deliveries"]} | {None}
    notification = await house.stores.notifications.get(environment, notification_id)
    rows = (await rows_shown(house.stores, notification, user.id))[1] if notification else []
    events = timeline_of(notification, rows, for_operators=user.may("ops:read")) if notification else []
    shown = [event for event in events if event.get("delivery_id") in visible]
    return ok({"notification_id": notification_id, "events": shown})
