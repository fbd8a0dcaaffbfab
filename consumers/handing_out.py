"""What follows from a stored plan: deliveries to the channels, skips to the ledger, status and receipt, then the mark."""

import asyncio
from datetime import UTC, datetime

import structlog

from consumers.arrivals import Arrival
from consumers.collapsing import Collapsing
from consumers.gathering import Gathering
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Outgoing, Publisher, Received
from schemas import cloudevents, topics
from schemas.audiences import ExpandRecord
from schemas.deliveries import EVENT_OF, DeliveryRecord, State
from schemas.events import Receipt, StatusEvent, Verdict
from schemas.fallback import at_once
from schemas.plan import Notification, PlannedDelivery

log = structlog.get_logger()


class HandingOut:
    def __init__(
        self,
        notifications: NotificationStore,
        collapsing: Collapsing,
        publisher: Publisher,
        reporter: Reporter,
        gathering: Gathering,
    ) -> None:
        self._collapsing = collapsing
        self._notifications = notifications
        self._publisher = publisher
        self._reporter = reporter
        self._gathering = gathering

    async def hand_out(self, record: Received, arrival: Arrival, notification: Notification, now: datetime) -> None:
        """Dying in between repeats the whole, which does no harm."""
        plan = notification.plan
        expired = plan.expires_at is not None and plan.expires_at <= now
        if expired:
            await self._all_ended(record, arrival, notification, "EXPIRED", "deadline_passed")
        else:
            await self._collapsing.replace_older(record, notification, plan.lines)
            lines = at_once(plan.lines)
            await asyncio.gather(*(self._deliver(record, arrival, line, notification) for line in lines))
        await self.tell(record, arrival, notification, now)
        log.info("notification.routed", deliveries=0 if expired else len(at_once(plan.lines)), skipped=len(plan.skips))

    async def tell(self, record: Received, arrival: Arrival, notification: Notification, now: datetime) -> None:
        """Everything but the deliveries to the people named."""
        skips = (
            self._report(record, arrival, notification, now, line, "SKIPPED", line.skipped)
            for line in notification.plan.skips
        )
        await asyncio.gather(
            self.expand(notification, arrival.correlation_id, arrival.traceparent),
            self._report(record, arrival, notification, now),
            *skips,
            self.receipt(record, arrival, notification, "accepted"),
        )
        await self._notifications.mark_routed(notification, now)

    async def receipt(self, record: Received, arrival: Arrival, notification: Notification, verdict: Verdict) -> None:
        plan = notification.plan
        receipt = Receipt(
            producer=arrival.producer,
            request_id=arrival.request_id,
            notification_id=notification.notification_id,
            verdict=verdict,
            counts={"PLANNED": len(plan.to_make), "SKIPPED": len(plan.skips)},
            **plan.moves,
            origin=record.position,
            at=datetime.now(UTC),
        )
        await self._reporter.receipt(arrival.environment, receipt)

    async def _all_ended(
        self, record: Received, arrival: Arrival, notification: Notification, state: State, reason: str
    ) -> None:
        now = datetime.now(UTC)
        lines = notification.plan.to_make
        reports = (self._report(record, arrival, notification, now, line, state, reason) for line in lines)
        await asyncio.gather(*reports)

    async def _deliver(self, record: Received, arrival: Arrival, line: PlannedDelivery, notification: Notification) -> None:
        delivery = notification.record_of(line, arrival.correlation_id, arrival.traceparent)
        if not await self._gathering.gathers(record, notification, line, delivery):
            await self._publisher.publish(handed_over(delivery))

    async def expand(self, notification: Notification, correlation_id: str, traceparent: str) -> None:
        """One record for each shard of the audience; of a cancelled or expired one too: its walks say so and end at once."""
        audience, environment = notification.plan.audience, notification.environment
        headers = {cloudevents.TRACEPARENT: traceparent, cloudevents.CORRELATION_ID: correlation_id}
        for shard in range(audience.shards if audience else 0):
            walk = ExpandRecord(
                environment=environment,
                notification_id=notification.notification_id,
                shard=shard,
                correlation_id=correlation_id,
                traceparent=traceparent,
            )
            value = walk.model_dump_json(exclude_defaults=True).encode()
            await self._publisher.publish(Outgoing(topics.expand(environment), walk.key, value, headers))

    async def _report(
        self,
        record: Received,
        arrival: Arrival,
        notification: Notification,
        now: datetime,
        line: PlannedDelivery | None = None,
        state: State | None = None,
        reason: str | None = None,
    ) -> None:
        """The notification as routed; or, with a line, what became of that line without anybody's claim."""
        event = StatusEvent(
            environment=arrival.environment,
            notification_id=notification.notification_id,
            delivery_id=line.delivery_id if line else None,
            event=EVENT_OF[state] if state else "routed",
            state=state,
            reason=reason,
            recipient=line.recipient if line else None,
            channel=line.channel if line else None,
            shards=notification.plan.shards,
            at=now,
            origin=record.position,
            unclaimed=line is not None,
            **notification.whose,
        )
        await self._reporter.status(event, correlation_id=arrival.correlation_id, traceparent=arrival.traceparent)


def handed_over(delivery: DeliveryRecord) -> Outgoing:
    """The record that hands one delivery to its channel."""
    topic = topics.deliveries(delivery.environment, delivery.channel, delivery.priority)
    value = delivery.model_dump_json(exclude_defaults=True).encode()
    headers = {cloudevents.TRACEPARENT: delivery.traceparent, cloudevents.CORRELATION_ID: delivery.correlation_id}
    return Outgoing(topic, delivery.recipient, value, headers)
