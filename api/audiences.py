"""How far an audience has been reached: what its walks have counted, and what the ledger says in the end."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infrastructure.resources import Stores
from schemas.audience_plan import audience_lines
from schemas.audiences import Audience, Progress, are_walked
from schemas.deliveries import Delivery
from schemas.plan import Notification, PlannedDelivery


@dataclass(frozen=True)
class Reached:
    """The walks as they stand, and every row of the ledger counted by its state, as of `counted_at`."""

    audience: Audience
    walks: tuple[Progress, ...]
    in_ledger: Counter[str]
    counted_at: datetime
    notification: Notification

    @property
    def is_walked(self) -> bool:
        return are_walked(self.walks, is_cancelled=self.notification.cancelled_at is not None)

    def counts(self, listed: int) -> Counter[str]:
        """By state; PENDING is what was handed out and had no row yet. Exact once the audience is walked."""
        planned = listed + sum(walk.planned + walk.skipped for walk in self.walks)
        missing = max(0, planned - self.in_ledger.total())
        return +(self.in_ledger + Counter({"PENDING": missing}))

    def shown(self) -> dict[str, Any]:
        return {
            "topics": list(self.audience.topics),
            "cutoff": self.audience.cutoff,
            "members": sum(walk.members for walk in self.walks),
            "planned": sum(walk.planned for walk in self.walks),
            "skipped": sum(walk.skipped for walk in self.walks),
            "expanded": sum(walk.done for walk in self.walks),
            "of_shards": len(self.walks),
            "done": self.is_walked,
            "counted_at": self.counted_at,
            "stopped": next((walk.stopped for walk in self.walks if walk.stopped), None),
            "moving": self._moving(),
        }

    def _moving(self) -> dict[str, Any] | None:
        """The last wish for another time: how many deliveries that waited have got it, and whether all have."""
        wish = self.notification.wish
        if wish is None:
            return None
        counted = sum(walk.moving.moved for walk in self.walks if walk.moving is not None and walk.moving.wish == wish)
        done = all(walk.has_moved(wish) for walk in self.walks)
        return {"send_at": self.notification.request.send_at, "moved": counted, "done": done}


async def reached(stores: Stores, notification: Notification) -> Reached | None:
    """None when the plan lists everybody."""
    audience, environment = notification.plan.audience, notification.environment
    if audience is None:
        return None
    walks = await stores.expansions.of(environment, notification.notification_id, audience.shards)
    is_walked = are_walked(walks, is_cancelled=notification.cancelled_at is not None)
    counted = await stores.tallies.of(
        environment,
        notification.notification_id,
        notification.plan.shards,
        phase=(notification.cancelled_at, notification.wish, is_walked),
    )
    return Reached(audience, tuple(walks), Counter(counted.tally.states), counted.at, notification)


async def row_named(stores: Stores, environment: str, notification_id: str, delivery_id: str) -> Delivery | None:
    """The ledger's row of a delivery of which only the ids are known, in whichever of the plan's shards it is."""
    notification = await stores.notifications.get(environment, notification_id)
    shards = range(notification.plan.shards if notification else 1)
    rows = await asyncio.gather(*(stores.deliveries.get(environment, notification_id, delivery_id, each) for each in shards))
    return next((row for row in rows if row is not None), None)


async def rows_shown(
    stores: Stores, notification: Notification, viewer: str | None
) -> tuple[tuple[PlannedDelivery, ...], list[Delivery]]:
    """The lines that can be listed and their rows: all of them, but of an audience only what reached the viewer."""
    environment, notification_id = notification.environment, notification.notification_id
    if notification.plan.audience is None:
        return notification.plan.lines, await stores.deliveries.of(environment, notification_id)
    listed = notification.plan.lines
    own = audience_lines(notification, (viewer,), {}) if viewer else ()
    lines = {line.delivery_id: line for line in (*own, *listed)}
    found = await asyncio.gather(
        *(
            stores.deliveries.get(environment, notification_id, each, line.shard(notification.plan.shards))
            for each, line in lines.items()
        )
    )
    rows = [row for row in found if row is not None]
    reached_viewer = {row.delivery_id for row in rows}
    return (*listed, *(line for line in own if line.delivery_id in reached_viewer)), rows
