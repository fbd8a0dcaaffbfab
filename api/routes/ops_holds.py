"""What waits for its time, for operators: see it, count it, and let go of one or of many after a dry run."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from api.cursors import Cursor, Limit, TheCursors
from api.dependencies import House, InEnvironment
from api.replays import (
    CAN_LOOK,
    DeliveryId,
    ManyIn,
    Name,
    NotificationId,
    Operator,
    TheRepairs,
    answer,
    groups_of,
    many,
    page_of,
)
from schemas.base import UtcDatetime
from schemas.troubled import Look

router = APIRouter(prefix="/api/v1/ops/holds", tags=["operators"])


def the_look(
    channel: Annotated[Name | None, Query()] = None,
    reason: Annotated[Name | None, Query(description="quiet_hours, scheduled, capped, or how it goes on.")] = None,
    since: Annotated[UtcDatetime | None, Query(description="Held since then, or later.")] = None,
    until: UtcDatetime | None = None,
    order: Literal["newest", "oldest"] = "newest",
) -> Look:
    return Look("HELD", channel, reason, since, until, order == "newest")


TheLook = Annotated[Look, Depends(the_look)]


class ReleaseHoldsIn(ManyIn):
    """Which of those that wait; all of them where nothing narrows it."""


@router.get("", operation_id="listHolds", dependencies=[CAN_LOOK])
async def holds(
    house: House,
    environment: InEnvironment,
    look: TheLook,
    cursors: TheCursors,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Those that rest until their time comes: why, and until when. A page may be short; `meta.next_cursor` continues,
    null at the end."""
    return await page_of(house, environment, look, cursors, limit, cursor)


@router.get("/counts", operation_id="countHolds", dependencies=[CAN_LOOK])
async def counts(house: House, environment: InEnvironment, look: TheLook) -> dict[str, Any]:
    """How many of each channel and reason, the largest group first; `complete` is false when there are more than 10,000."""
    return await groups_of(house, environment, look)


@router.post("/release", operation_id="releaseHolds")
async def release_many(
    body: ReleaseHoldsIn, operator: Operator, repairs: TheRepairs, environment: InEnvironment
) -> dict[str, Any]:
    """A dry run unless `dry_run` is false: then what matches goes out now, if it is as many as `expected`."""
    return await many(repairs, environment, body, "HELD", operator.id, "released")


@router.post("/{notification_id}/{delivery_id}/release", operation_id="releaseHold")
async def release(
    notification_id: NotificationId,
    delivery_id: DeliveryId,
    operator: Operator,
    repairs: TheRepairs,
    environment: InEnvironment,
) -> dict[str, Any]:
    """It goes out now, once, whatever holds it; not if it was cancelled or is too late."""
    change = await repairs.release(environment, notification_id, delivery_id, operator.id)
    return answer(change, "released", "It goes out within seconds.")
