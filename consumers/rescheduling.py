"""Carries out a new time, delivery by delivery. Repeating it finds the same and changes nothing."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import structlog

from consumers.arrivals import Moved
from consumers.clocks import Clocks
from consumers.holding import Holding
from consumers.schedules import Schedules
from infrastructure.dynamo.deliveries import WAITING, DeliveryStore
from infrastructure.dynamo.inbox import InboxStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Received
from infrastructure.redis.live import Announcer
from schemas.audience_plan import record_of_row
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.events import event_of
from schemas.fallback import at_once
from schemas.holds import Hold
from schemas.plan import Notification, PlannedDelivery
from schemas.rescheduling import MovedDelivery, MoveRefusal, move_answer, moved_delivery
from schemas.schedules import SCHEDULED

log = structlog.get_logger()


class Rescheduler:
    def __init__(
        self,
        notifications: NotificationStore,
        schedules: Schedules,
        deliveries: DeliveryStore,
        inbox: InboxStore,
        holding: Holding,
        clocks: Clocks,
        announcer: Announcer,
        reporter: Reporter,
    ) -> None:
        self._notifications = notifications
        self._schedules = schedules
        self._deliveries = deliveries
        self._inbox = inbox
        self._holding = holding
        self._clocks = clocks
        self._announcer = announcer
        self._reporter = reporter

    async def carry_out(self, record: Received, moved: Moved) -> Notification | None:
        """First the time in the row, which every later step reads; then each delivery that its plan lists already.

        Returns the notification if it has an audience, whose deliveries expand is to move: `move_rows`.
        """
        environment, notification_id = moved.environment, moved.notification_id
        standing = await self._notifications.reschedule(environment, notification_id, moved.asked, moved.at)
        if standing == "newer":
            log.info("notification.move_outdated", send_at=moved.send_at.isoformat())
            return None
        if standing == "cancelled":
            await self._refuse(moved, "cancelled")
            return None
        answers: list[MovedDelivery] = []
        if standing is None:
            await self._schedules.move(moved)
        else:
            await self._schedules.listed(environment, notification_id, moved.producer, standing.request)
            answers = await asyncio.gather(*(self._move(record, standing, line) for line in at_once(standing.plan.lines)))
        with_audience = standing if standing is not None and standing.plan.audience is not None else None
        done = moved.asked.model_copy(update={"deliveries": tuple(answers), "has_audience": with_audience is not None})
        await self._notifications.note_rescheduled(environment, notification_id, done)
        await self._announcer.outcome_known(environment, notification_id)
        log.info("notification.moved", send_at=moved.send_at.isoformat(), answers=sorted(each.answer for each in answers))
        return with_audience

    async def move_rows(self, record: Received, notification: Notification, rows: Iterable[Delivery]) -> int:
        """Those of an audience's rows that wait lie down until the time that is in force; how many there were."""
        waiting = [row for row in rows if row.state in WAITING and notification.line(row.delivery_id) is None]
        answers = await asyncio.gather(*(self._move_row(record, notification, row) for row in waiting))
        return sum(answer is not None and answer.answer == "moved" for answer in answers)

    async def _move_row(self, record: Received, notification: Notification, row: Delivery) -> MovedDelivery | None:
        delivery = record_of_row(notification, row)
        if delivery is None:  # its person was erased meanwhile
            return None
        timed = await self._clocks.due_at(notification.environment, delivery, _time_of(notification))
        return await self._rest(record, notification, delivery, timed, row)

    async def _refuse(self, moved: Moved, why: MoveRefusal) -> None:
        refused = moved.asked.model_copy(update={"refused": why, "deliveries": ()})
        await self._notifications.note_rescheduled(moved.environment, moved.notification_id, refused)
        await self._announcer.outcome_known(moved.environment, moved.notification_id)

    async def _move(self, record: Received, notification: Notification, line: PlannedDelivery) -> MovedDelivery:
        """Its row rests until the new time, unless it was attempted: then the row says what became of it."""
        delivery = notification.record_of(line)
        if line.channel == "in_app" and await self._inbox.standing(
            delivery.environment, delivery.recipient, delivery.delivery_id
        ):
            return moved_delivery(delivery, "sent")
        timed = await self._clocks.due_at(notification.environment, line, _time_of(notification))
        row = await self._deliveries.get(
            delivery.environment, delivery.notification_id, delivery.delivery_id, delivery.shard
        )
        return await self._rest(record, notification, delivery, timed, row)

    async def _rest(
        self, record: Received, notification: Notification, delivery: DeliveryRecord, timed: datetime, row: Delivery | None
    ) -> MovedDelivery:
        if row is not None:
            if row.held and row.next_at == timed:
                return moved_delivery(row, "moved")  # by an earlier reading of the same record
            delivery = delivery.model_copy(update={"turn": row.turn})
        rested = await self._holding.rest(delivery, Hold(SCHEDULED, timed), str(record.position))
        if rested.held:
            await self._reporter.status(
                event_of(rested, origin=record.position, **notification.whose), correlation_id="", traceparent=""
            )
        return move_answer(rested, rested.model_copy(update={"turn": delivery.turn + 1, "next_at": timed}))


def _time_of(notification: Notification) -> datetime:
    return notification.request.send_at or datetime.now(UTC)
