"""What the operators' routes share: pages of the ledger's lists, one delivery's answer, and many after a dry run."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Path
from pydantic import ConfigDict, Field

from api.auth import requires
from api.cursors import Cursors
from api.dependencies import House
from api.envelope import ok
from api.problems import Problem
from api.repairs import Differs, Preview, Repairs, Result, Wanted
from api.shown import shown_delivery, shown_groups
from api.wiring import ApiResources
from infrastructure.auth.user import User
from infrastructure.dynamo.troubled import Already, Change, NotSo
from infrastructure.kafka.sealing import SealingPublisher
from infrastructure.resources import seal_keys
from schemas.base import WHOLE, Flag, UtcDatetime, Value
from schemas.topics import Environment
from schemas.troubled import Listed, Look

MOST_OVER_HTTP = 500

CAN_LOOK = Depends(requires("ops:read"))
Operator = Annotated[User, Depends(requires("ops:write"))]
NotificationId = Annotated[str, Path(pattern=r"^ntf_[a-z2-7]{26}$")]
DeliveryId = Annotated[str, Path(pattern=r"^dlv_[a-z2-7]{26}$")]
Name = Annotated[str, Field(max_length=100)]

# the rule of `_expected` below, for whoever reads the schema
_REAL_RUN: Any = {
    "if": {"properties": {"dry_run": {"const": False}}, "required": ["dry_run"]},
    "then": {"properties": {"expected": {"type": "integer"}}, "required": ["expected"]},
}


def the_repairs(house: House) -> Repairs:
    return Repairs(house.stores, SealingPublisher(house.publisher, seal_keys(house.settings)[0]))


TheRepairs = Annotated[Repairs, Depends(the_repairs)]


class ManyIn(Value):
    """Which deliveries. The real run states what the dry run said: `expected` and `until`."""

    model_config = ConfigDict(json_schema_extra=_REAL_RUN)

    channel: Name | None = None
    reason: Name | None = None
    since: UtcDatetime | None = None
    until: UtcDatetime | None = None
    notification_id: Annotated[str, Field(pattern=r"^ntf_[a-z2-7]{26}$")] | None = None
    dry_run: Flag = True
    expected: Annotated[int, Field(ge=0, le=MOST_OVER_HTTP), WHOLE] | None = Field(
        default=None, description="At most 500 in one call: narrow it, or use the `carillon` command, which takes more."
    )
    per_s: float = Field(default=50, gt=0, le=1000)

    def those(self, state: Listed) -> Wanted:
        return Wanted(Look(state, self.channel, self.reason, self.since, self.until), self.notification_id)


async def page_of(
    house: ApiResources, environment: Environment, look: Look, cursors: Cursors, limit: int, cursor: str | None
) -> dict[str, Any]:
    """One page of the ledger's rows that a look shows."""
    page = await house.stores.trouble.page(environment, look, after=cursors.place(cursor), limit=limit)
    return ok([shown_delivery(row) for row in page.rows], meta={"next_cursor": cursors.write(page.after)})


async def groups_of(house: ApiResources, environment: Environment, look: Look) -> dict[str, Any]:
    """How many of each channel and reason a look shows."""
    grouped = await house.stores.trouble.grouped(environment, look)
    return ok({"total": grouped.total, "complete": grouped.whole, "groups": shown_groups(grouped.counts)})


async def many(
    repairs: Repairs, environment: Environment, body: ManyIn, state: Listed, by: str, done: Result
) -> dict[str, Any]:
    """A dry run unless `dry_run` is false: then it is `done` to what matches, if it is as many as expected."""
    wanted = body.those(state)
    if body.dry_run:
        until = body.until or datetime.now(UTC)
        pinned = replace(wanted, look=replace(wanted.look, until=until))
        return ok(_preview(await repairs.preview(environment, pinned), until), "A dry run: nothing was changed.")
    expected = _expected(body)
    try:
        carried_out = repairs.replay(environment, wanted, by, expected=expected, per_s=body.per_s)
        results = Counter([result async for result in carried_out])
    except Differs as differs:
        detail = f"{differs.found.total} deliveries match now, not {expected}. Nothing was done: look again."
        raise Problem(409, "Not as expected", detail, type="not_as_expected") from differs
    return ok({"dry_run": False, "results": results}, f"{results[done]} {done}.")


def _expected(body: ManyIn) -> int:
    if body.expected is None:
        error = {"pointer": "/expected", "detail": "say how many, as the dry run counted them"}
        raise Problem(422, "Invalid request", "Say how many deliveries are expected.", errors=[error])
    return body.expected


def answer(change: Change | None, done: str, message: str) -> dict[str, Any]:
    """What became of one delivery."""
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
