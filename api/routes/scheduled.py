"""What was sent for later: one's own list as a sender, one's own list as a person, and another time."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from api.auth import CurrentUser
from api.cursors import Cursor, Limit, TheCursors
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.intake import producer_of
from api.paths import BY_ID, NOTIFICATION_ID
from api.problems import Problem
from api.rescheduling import Rescheduled, refused
from api.routes.notifications import CanSend
from api.scheduled import of_recipient, of_sender
from api.status import read_status
from schemas.base import Value
from schemas.cloudevents import TRACEPARENT
from schemas.schedules import SendAt

router = APIRouter(prefix="/api/v1/notifications", tags=["notifications"])


class RescheduleIn(Value):
    """A moment, or without an offset that time on each person's own clock. One that has passed means now."""

    send_at: SendAt


@router.get("/scheduled", operation_id="listScheduled")
async def scheduled(
    caller: CanSend, house: House, environment: InEnvironment, cursors: TheCursors, limit: Limit = 20, cursor: Cursor = None
) -> dict[str, Any]:
    """What the caller has sent for later, by the time at which the last of it is due. A page may be short."""
    found, after = await of_sender(house.stores, environment, producer_of(caller), cursors.place(cursor), limit)
    return ok(found, meta={"next_cursor": cursors.write(after)})


@router.get("/pending", operation_id="listPending")
async def pending(
    user: CurrentUser,
    house: House,
    environment: InEnvironment,
    cursors: TheCursors,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """What is to come for oneself, the earliest first: sent for later, held by quiet hours, or held by a cap."""
    found, after = await of_recipient(house.stores, environment, user.id, cursors.place(cursor), limit)
    return ok(found, meta={"next_cursor": cursors.write(after)})


@router.patch(BY_ID, operation_id="rescheduleNotification")
async def reschedule(
    notification_id: Annotated[str, Path(pattern=f"^{NOTIFICATION_ID}$")],
    body: RescheduleIn,
    request: Request,
    response: Response,
    caller: CanSend,
    house: House,
    environment: InEnvironment,
) -> dict[str, Any]:
    """Another time for what was sent for later; only who sent it may. 200 with what became of each delivery: moved,
    under_way, sent or ended; 202 when that is not known yet, or its audience is moved page by page (`audience.moving`)."""
    found = await read_status(house.stores, environment, notification_id, caller.id)
    if found is None or found["producer"] != producer_of(caller):
        raise Problem(404, "Not found", "No notification of yours has this id.", type="not_known_yet")
    if found["status"] == "CANCELLED" or found["cancelled_at"] is not None:
        raise refused("cancelled")
    notification = await house.stores.notifications.get(environment, notification_id)
    if found["status"] == "REJECTED" or (notification is not None and notification.request.send_at is None):
        raise refused("not_scheduled")
    wanted = Rescheduled(house, environment, found["producer"], found["request_id"])
    carried_out, answer = await wanted.move(body.send_at, request.headers.get(TRACEPARENT, ""))
    response.status_code = 200 if carried_out else 202
    return ok(answer, "Moved." if carried_out else "Accepted: it will be carried out.")
