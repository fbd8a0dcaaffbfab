"""Deliveries in trouble, for operators: look, redrive, settle, discard, and replay many after a dry run."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

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
from schemas.base import UtcDatetime, Value
from schemas.troubled import Look, Settlement, Trouble

router = APIRouter(prefix="/api/v1/ops/deliveries", tags=["operators"])

Note = Annotated[str, Field(max_length=1000)]


def the_look(
    state: Trouble = "FAILED",
    channel: Annotated[Name | None, Query()] = None,
    reason: Annotated[Name | None, Query(description="What the reason begins with.")] = None,
    since: UtcDatetime | None = None,
    until: UtcDatetime | None = None,
    order: Literal["newest", "oldest"] = "newest",
) -> Look:
    return Look(state, channel, reason, since, until, order == "newest")


TheLook = Annotated[Look, Depends(the_look)]


class SettleIn(Value):
    state: Settlement
    note: Note = ""


class DiscardIn(Value):
    note: Note = ""


class ReplayDeliveriesIn(ManyIn):
    """Which deliveries. The real run states what the dry run said: `expected` and `until`."""

    state: Trouble = "FAILED"


@router.get("", operation_id="listTroubledDeliveries", dependencies=[CAN_LOOK])
async def troubled(
    house: House,
    environment: InEnvironment,
    look: TheLook,
    cursors: TheCursors,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Those given up (FAILED), in doubt (UNKNOWN), or redriven and not taken up yet (PENDING). A page may be short;
    `meta.next_cursor` continues, null at the end."""
    return await page_of(house, environment, look, cursors, limit, cursor)


@router.get("/counts", operation_id="countTroubledDeliveries", dependencies=[CAN_LOOK])
async def counts(house: House, environment: InEnvironment, look: TheLook) -> dict[str, Any]:
    """How many of each channel and reason, the largest group first; `complete` is false when there are more than 10,000."""
    return await groups_of(house, environment, look)


@router.post("/replay", operation_id="replayDeliveries")
async def replay(
    body: ReplayDeliveriesIn, operator: Operator, repairs: TheRepairs, environment: InEnvironment
) -> dict[str, Any]:
    """A dry run unless `dry_run` is false: then what matches is redriven, if it is as many as `expected`."""
    return await many(repairs, environment, body, body.state, operator.id, "redriven")


@router.post("/{notification_id}/{delivery_id}/redrive", operation_id="redriveDelivery")
async def redrive(
    notification_id: NotificationId,
    delivery_id: DeliveryId,
    operator: Operator,
    repairs: TheRepairs,
    environment: InEnvironment,
) -> dict[str, Any]:
    """It will be attempted again, unless it was cancelled or is too late. An UNKNOWN one may arrive twice then."""
    change = await repairs.redrive(environment, notification_id, delivery_id, operator.id)
    return answer(change, "redriven", "It will be attempted within seconds.")


@router.post("/{notification_id}/{delivery_id}/settle", operation_id="settleDelivery")
async def settle(
    notification_id: NotificationId,
    delivery_id: DeliveryId,
    body: SettleIn,
    operator: Operator,
    repairs: TheRepairs,
    environment: InEnvironment,
) -> dict[str, Any]:
    """What became of an UNKNOWN one, as a person found out: SENT or FAILED."""
    change = await repairs.settle(environment, notification_id, delivery_id, body.state, operator.id, body.note)
    return answer(change, "settled", f"It is {body.state} now.")


@router.post("/{notification_id}/{delivery_id}/discard", operation_id="discardDelivery")
async def discard(
    notification_id: NotificationId,
    delivery_id: DeliveryId,
    body: DiscardIn,
    operator: Operator,
    repairs: TheRepairs,
    environment: InEnvironment,
) -> dict[str, Any]:
    """Off the list. It stays FAILED, and its history says who did it."""
    change = await repairs.discard(environment, notification_id, delivery_id, operator.id, body.note)
    return answer(change, "discarded", "It is off the list.")
