"""What deliveries mean for one another, as deliver asks it: is there a newer one, has the person answered, what follows?

The timer of a fallback's next step is an output of a settled delivery, put again by every repeat. Whoever settles puts it,
so that it needs no other worker; deliver.in_app does so too: the item it stores is what settles, not persist's row of it.
What route or expand skip as a whole settles nothing: they hand out the step after it at once.
"""

import asyncio

import structlog

from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.inbox import InboxStore
from infrastructure.dynamo.pointers import PointerStore
from infrastructure.dynamo.timers import TimerStore
from schemas.collapse import SUPERSEDED, collapse_id, pointer_to
from schemas.deliveries import Delivery, DeliveryRecord, State
from schemas.fallback import beside, due_after, following, is_answered, lines_for, watched
from schemas.plan import Notification, PlannedDelivery
from schemas.requests import Unless
from schemas.timers import step_timer

log = structlog.get_logger()


class Following:
    def __init__(self, timers: TimerStore, deliveries: DeliveryStore, inbox: InboxStore, pointers: PointerStore) -> None:
        self._timers = timers
        self._deliveries = deliveries
        self._inbox = inbox
        self._pointers = pointers

    async def put_next(self, carried: DeliveryRecord, notification: Notification, row: Delivery) -> None:
        """Afterwards the next step rests in its timers, if the row's line has one and has settled."""
        if not notification.plan.fallback:
            return
        own = lines_for(notification, row.recipient, carried.known_devices)
        line = next((each for each in own if each.delivery_id == row.delivery_id), None)
        upcoming = following(own, line) if line else ()
        if line is None or not upcoming:
            return
        # A row beside it that is not there yet counts as one that may have gone out: then the wait is the longer one.
        others = await asyncio.gather(*(self._row(notification, each) for each in beside(own, line)))
        due = due_after(notification.plan, line, upcoming[0].step, row, others)
        if due is None:
            return
        records = (notification.record_of(each, carried.correlation_id, carried.traceparent) for each in upcoming)
        await asyncio.gather(*(self._timers.put(step_timer(record, due)) for record in records))
        log.info("fallback.waits", step=upcoming[0].step, due=due.isoformat())

    async def needless(self, notification: Notification, line: PlannedDelivery) -> tuple[State, str] | None:
        """Why nobody needs it any more, if so: there is a newer one, or its person has answered. Read consistently."""
        reason = await self._superseded(notification, line) or await self._answered(notification, line)
        return ("SKIPPED", reason) if reason else None

    async def _superseded(self, notification: Notification, line: PlannedDelivery) -> str | None:
        name = collapse_id(notification, line.recipient)
        newest = await self._pointers.newest(notification.environment, name) if name else None
        return SUPERSEDED if pointer_to(notification).is_behind(newest) else None

    async def _answered(self, notification: Notification, line: PlannedDelivery) -> Unless | None:
        inbox_line = watched(lines_for(notification, line.recipient), line) if line.step else None
        if inbox_line is None:
            return None
        found = await self._inbox.answer(notification.environment, inbox_line.recipient, inbox_line.delivery_id)
        return found if is_answered(notification.plan.fallback[line.step - 1].unless, found) else None

    async def _row(self, notification: Notification, line: PlannedDelivery) -> Delivery | None:
        shard = line.shard(notification.plan.shards)
        return await self._deliveries.get(notification.environment, notification.notification_id, line.delivery_id, shard)
