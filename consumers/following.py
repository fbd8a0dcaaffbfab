"""Fallback, as deliver does it: the timer of the next step is an output of a settled delivery, put again by every repeat.

Whoever settles puts it, so that it needs no other worker; an inbox item, whose row persist writes, has its place here too,
because deliver.in_app settles it. What route skips as a whole settles nothing: route hands out the step after it at once.
"""

import asyncio

import structlog

from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.inbox import InboxStore
from infrastructure.dynamo.timers import TimerStore
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.fallback import beside, due_after, following, is_answered, lines_for, watched
from schemas.plan import Notification, PlannedDelivery
from schemas.requests import Unless
from schemas.timers import step_timer

log = structlog.get_logger()


class Following:
    def __init__(self, timers: TimerStore, deliveries: DeliveryStore, inbox: InboxStore) -> None:
        self._timers = timers
        self._deliveries = deliveries
        self._inbox = inbox

    async def put_next(self, carried: DeliveryRecord, notification: Notification, row: Delivery) -> None:
        """Afterwards the next step rests in its timers, if the row's line has one and has settled."""
        if not notification.plan.fallback:
            return
        own = lines_for(notification, row.recipient)
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

    async def answer(self, notification: Notification, line: PlannedDelivery) -> Unless | None:
        """What makes this step needless, if the person has done it by now. A consistent read."""
        inbox_line = watched(lines_for(notification, line.recipient), line) if line.step else None
        if inbox_line is None:
            return None
        found = await self._inbox.answer(notification.environment, inbox_line.recipient, inbox_line.delivery_id)
        return found if is_answered(notification.plan.fallback[line.step - 1].unless, found) else None

    async def _row(self, notification: Notification, line: PlannedDelivery) -> Delivery | None:
        shard = line.shard(notification.plan.shards)
        return await self._deliveries.get(notification.environment, notification.notification_id, line.delivery_id, shard)
