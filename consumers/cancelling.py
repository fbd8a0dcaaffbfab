"""Carries out a cancellation, delivery by delivery. Repeating it finds the same and changes nothing."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from consumers.taking_out import TakingOut
from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.inbox import InboxStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Received
from infrastructure.redis.live import Announcer
from schemas.cancelling import CancelledDelivery, answer_of
from schemas.collapse import SUPERSEDED
from schemas.deliveries import WITHDRAWN, Delivery, DeliveryRecord, row_of
from schemas.events import event_of
from schemas.plan import Notification, PlannedDelivery

log = structlog.get_logger()


class Canceller:
    def __init__(
        self,
        notifications: NotificationStore,
        deliveries: DeliveryStore,
        inbox: InboxStore,
        announcer: Announcer,
        reporter: Reporter,
        taking_out: TakingOut,
    ) -> None:
        self._notifications = notifications
        self._deliveries = deliveries
        self._inbox = inbox
        self._announcer = announcer
        self._reporter = reporter
        self._taking_out = taking_out

    async def carry_out(self, record: Received, notification: Notification, traceparent: str = "") -> None:
        """Afterwards every delivery of the plan's lines has been asked to stop, and the answers stand in its row.

        Its audience is asked by expand, which walks it once more.
        """
        lines = notification.plan.to_make
        asked = await asyncio.gather(
            *(self._ask(record, notification, line, traceparent, is_gathered=line.digest is not None) for line in lines)
        )
        answers = [answer for _, answer in asked]
        environment, notification_id = notification.environment, notification.notification_id
        await self._notifications.note_cancelled(environment, notification_id, answers)
        await self._announcer.outcome_known(environment, notification_id)
        log.info("notification.cancelled", answers=sorted(each.answer for each in answers))

    async def take_back(
        self, record: Received, notification: Notification, lines: Sequence[PlannedDelivery], traceparent: str
    ) -> None:
        """The same for some of an audience's deliveries; their answers stand in the ledger. What was skipped stays so."""
        environment, notification_id, shards = (
            notification.environment,
            notification.notification_id,
            notification.plan.shards,
        )

        async def stop(line: PlannedDelivery) -> None:
            row = await self._deliveries.get(environment, notification_id, line.delivery_id, line.shard(shards))
            if row is None or row.state != "SKIPPED":
                is_gathered = row is not None and (row.state == "DIGESTED" or row.gathers is not None)
                row, _ = await self._ask(record, notification, line, traceparent, is_gathered=is_gathered)
                if line.channel == "in_app":  # at once, not when persist has read of it: the counts are final afterwards
                    await self._deliveries.record(row.with_step(str(record.position)))

        await asyncio.gather(*(stop(line) for line in lines))

    async def nothing_planned(self, environment: str, notification_id: str) -> None:
        """It came before the request, or before its time: route will find the mark."""
        await self._notifications.note_nothing_planned(environment, notification_id)
        await self._announcer.outcome_known(environment, notification_id)

    async def _ask(
        self, record: Received, notification: Notification, line: PlannedDelivery, traceparent: str, *, is_gathered: bool
    ) -> tuple[Delivery, CancelledDelivery]:
        """One delivery to stop: its row as it then stands, and what that means."""
        delivery = notification.record_of(line, traceparent=traceparent)
        origin = str(record.position)
        taken_out = await self._taking_out.stop(notification, line, delivery, origin) if is_gathered else None
        if taken_out is not None:
            row, answer = taken_out
        elif line.channel == "in_app":
            row, answer = await self._withdraw(delivery)
        else:
            row = await self._deliveries.cancel(delivery, datetime.now(UTC), origin)
            answer = answer_of(row)
        if row.state == "CANCELLED":
            await self._report(record, notification, row, traceparent)
        return row, answer

    async def _withdraw(self, delivery: DeliveryRecord) -> tuple[Delivery, CancelledDelivery]:
        now = datetime.now(UTC)
        withdrawal = await self._inbox.withdraw(delivery.environment, delivery.recipient, delivery.delivery_id, now)
        if withdrawal == "superseded":  # it had ended before
            row = row_of(delivery, now, state="SKIPPED", version=WITHDRAWN, reason=SUPERSEDED)
            return row, answer_of(row)
        if withdrawal == "deleted":  # it had come, and its reader did away with it
            row = row_of(delivery, now, state="SENT", version=WITHDRAWN)
            return row, answer_of(row).model_copy(update={"answer": "ended"})
        if withdrawal == "recalled":
            await self._announcer.recalled(delivery.environment, delivery.recipient, delivery.delivery_id)
        reason = "cancelled" if withdrawal == "stopped" else "recalled"
        row = row_of(delivery, now, state="CANCELLED", version=WITHDRAWN, reason=reason)
        return row, answer_of(row).model_copy(update={"answer": withdrawal})

    async def _report(self, record: Received, notification: Notification, row: Delivery, traceparent: str) -> None:
        event = event_of(row, origin=record.position, unclaimed=row.version == WITHDRAWN, **notification.whose)
        await self._reporter.status(event, correlation_id="", traceparent=traceparent)
