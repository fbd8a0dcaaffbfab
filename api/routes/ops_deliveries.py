"""Deliveries in trouble, for operators: look, redrive, settle, discard, and replay many after a dry run."""

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from api.auth import requires
from api.cursors import bad_cursor, read_cursor, write_cursor
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.problems import Problem
from api.repairs import Differs, Preview, Repairs, Wanted
from api.shown import shown_delivery, shown_groups
from infrastructure.auth.user import User
from infrastructure.dynamo.troubled import Already, Change, NotSo
from infrastructure.kafka.sealing import SealingPublisher
from infrastructure.resources import seal_keys
from schemas.base import UtcDatetime, Value
from schemas.troubled import Look, Settlement, Trouble

router = APIRouter(prefix="/api/v1/ops/deliveries", tags=["operators"])

MOST_OVER_HTTP = 500
_AFTER = re.compile(r"[0-9TZ:.-]{20,30}#[\w-]{1,100}")

CAN_LOOK = Depends(requires("ops:read"))
Operator = Annotated[User, Depends(requires("ops:write"))]
NotificationId = Annotated[str, Path(pattern=r"^ntf_[a-z2-7]{26}$")]
DeliveryId = Annotated[str, Path(pattern=r"^dlv_[a-z2-7]{26}$")]
Name = Annotated[str, Field(max_length=100)]
Note = Annotated[str, Field(max_length=1000)]


def the_repairs(house: House) -> Repairs:
    return Repairs(house.stores, SealingPublisher(house.publisher, seal_keys(house.settings)[0]))


TheRepairs = Annotated[Repairs, Depends(the_repairs)]


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


class ReplayIn(Value):
    """Which deliveries. The real run states what the dry run said: `expected` and `until`."""

    state: Trouble = "FAILED"
    channel: Name | None = None
    reason: Name | None = None
    since: UtcDatetime | None = None
    until: UtcDatetime | None = None
    notification_id: Annotated[str, Field(pattern=r"^ntf_[a-z2-7]{26}$")] | None = None
    dry_run: bool = True
    expected: int | None = Field(default=None, ge=0)
    per_s: float = Field(default=50, gt=0, le=1000)

    @property
    def wanted(self) -> Wanted:
        return Wanted(Look(self.state, self.channel, self.reason, self.since, self.until), self.notification_id)


@router.get("", operation_id="listTroubledDeliveries", dependencies=[CAN_LOOK])
async def troubled(
    house: House,
    environment: InEnvironment,
    look: TheLook,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> dict[str, Any]:
    """Those given up (FAILED), in doubt (UNKNOWN), or redriven and not taken up yet (PENDING). A page may be short;
    `meta.next_cursor` continues, null at the end."""
    after = read_cursor(cursor)
    if after is not None and not (isinstance(after, str) and _AFTER.fullmatch(after)):
        raise bad_cursor()
    page = await house.stores.trouble.page(environment, look, after=after, limit=limit)
    return ok([shown_delivery(row) for row in page.rows], meta={"next_cursor": write_cursor(page.after)})


@router.get("/counts", operation_id="countTroubledDeliveries", dependencies=[CAN_LOOK])
async def counts(house: House, environment: InEnvironment, look: TheLook) -> dict[str, Any]:
    """How many of each channel and reason, the largest group first; `complete` is false when there are more than 10,000."""
    grouped = await house.stores.trouble.grouped(environment, look)
    return ok({"total": grouped.total, "complete": grouped.whole, "groups": shown_groups(grouped.counts)})


@router.post("/replay", operation_id="replayDeliveries")
async def replay(body: ReplayIn, operator: Operator, repairs: TheRepairs, environment: InEnvironment) -> dict[str, Any]:
    """A dry run unless `dry_run` is false: then what matches is redriven, if it is as many as `expected`."""
    wanted = body.wanted
    if body.dry_run:
        until = body.until or datetime.now(UTC)
        pinned = replace(wanted, look=replace(wanted.look, until=until))
        return ok(_preview(await repairs.preview(environment, pinned), until), "A dry run: nothing was changed.")
    if body.expected is None:
        error = {"pointer": "/expected", "detail": "say how many, as the dry run counted them"}
        raise Problem(422, "Invalid request", "A replay states how many deliveries it expects.", errors=[error])
    if body.expected > MOST_OVER_HTTP:
        detail = f"At most {MOST_OVER_HTTP} in one call: narrow it, or use `carillon dlq replay`, which takes more."
        raise Problem(422, "Too many", detail, errors=[{"pointer": "/expected", "detail": detail}])
    try:
        redriving = repairs.replay(environment, wanted, operator.id, expected=body.expected, per_s=body.per_s)
        results = Counter([result async for result in redriving])
    except Differs as differs:
        detail = f"{differs.found.total} deliveries match now, not {body.expected}. Nothing was done: look again."
        raise Problem(409, "Not as expected", detail, type="not_as_expected") from differs
    return ok({"dry_run": False, "results": results}, f"{results['redriven']} redriven.")


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
    return _answer(change, "redriven", "It will be attempted within seconds.")


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
    return _answer(change, "settled", f"It is {body.state} now.")


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
    return _answer(change, "discarded", "It is off the list.")


def _answer(change: Change | None, done: str, message: str) -> dict[str, Any]:
    if change is None:
        raise Problem(404, "Not found", "There is no such delivery.")
    row = change.delivery
    if isinstance(change, NotSo):
        detail = f"It is {row.state} since {row.updated_at:%Y-%m-%d %H:%M:%S} UTC, so it cannot be {done}."
        raise Problem(409, "Not in this state", detail, type="not_in_this_state")
    again = isinstance(change, Already)
    return ok(shown_delivery(row) | {"changed": not again}, f"It was {done} before." if again else message)


def _preview(found: Preview, until: datetime) -> dict[str, Any]:
    return {
        "dry_run": True,
        "expected": found.total,
        "complete": found.whole,
        "until": until.isoformat(),
        "groups": shown_groups(found.counts),
        "samples": [shown_delivery(row) for row in found.samples],
    }
