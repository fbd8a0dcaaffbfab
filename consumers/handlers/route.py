"""route: decides once what a request becomes, stores that plan, and hands out the deliveries. A replay follows the plan."""

import asyncio
from datetime import UTC, datetime

import structlog

from consumers.arrivals import RAW_PRODUCER, Arrival, Arrivals, Refusal
from consumers.burial import crash, put_away
from consumers.planning import Planner, Refused
from consumers.reporting import Reporter
from infrastructure.dynamo.contacts import ContactStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.ports import Outgoing, Publisher, Received
from schemas import cloudevents, topics
from schemas.catalogue import Catalogue
from schemas.deliveries import DeliveryRecord
from schemas.events import FieldError, Receipt, StatusEvent, Verdict
from schemas.identity import body_hash
from schemas.plan import Notification, PlannedDelivery, Unplanned
from schemas.timers import Timer

log = structlog.get_logger()


class Route:
    def __init__(
        self,
        arrivals: Arrivals,
        catalogue: Catalogue,
        notifications: NotificationStore,
        contacts: ContactStore,
        timers: TimerStore,
        publisher: Publisher,
        reporter: Reporter,
    ) -> None:
        self._arrivals = arrivals
        self._planner = Planner(catalogue, contacts)
        self._notifications = notifications
        self._timers = timers
        self._publisher = publisher
        self._reporter = reporter

    async def handle(self, record: Received) -> None:
        arrival = self._arrivals.read(record)
        if isinstance(arrival, Refusal):
            await self._refuse(record, arrival)
            return
        now = datetime.now(UTC)
        with structlog.contextvars.bound_contextvars(
            notification=arrival.notification_id,
            correlation_id=arrival.correlation_id,
            trace_id=cloudevents.trace_id(arrival.traceparent),
        ):
            if arrival.request.send_at is not None and arrival.request.send_at > now:
                await self._postpone(record, arrival, arrival.request.send_at)
                return
            try:
                notification, is_new = await self._notification(arrival, now)
            except Refused as error:
                refusal = Refusal(arrival.environment, arrival.producer, arrival.request_id, error.reason, error.errors)
                await self._refuse(record, refusal)
                return
            if not is_new and await self._notifications.is_routed(arrival.environment, arrival.notification_id):
                same = notification.origin == arrival.origin
                await self._receipt(record, arrival, notification, "accepted" if same else "duplicate")
                return
            await self._hand_out(record, arrival, notification, now)

    async def bury(self, record: Received, error: Exception) -> None:
        environment = topics.environment_of(record.topic)
        producer, request_id = self._whose(record)
        refusal = Refusal(
            environment,  # type: ignore[arg-type]  # our own topic names
            producer,
            request_id,
            crash(error),
            (FieldError(pointer="", detail="the request could not be routed; the operators know"),),
        )
        await self._refuse(record, refusal)

    def _whose(self, record: Received) -> tuple[str, str]:
        """Whatever crashed may have been the reading itself; it must not keep the record from being put away."""
        try:
            arrival = self._arrivals.read(record)
        except Exception:  # pylint: disable=broad-exception-caught
            log.exception("request.unreadable", at=str(record.position))
            return RAW_PRODUCER, str(record.position)
        return arrival.producer, arrival.request_id

    async def _notification(self, arrival: Arrival, now: datetime) -> tuple[Notification, bool]:
        """The stored row and whether we put it; a replay finds the first one and follows its plan."""
        found = await self._notifications.get(arrival.environment, arrival.notification_id)
        digest, planned = body_hash(arrival.request), None
        if found is None:
            planned = Notification(
                notification_id=arrival.notification_id,
                environment=arrival.environment,
                producer=arrival.producer,
                request_id=arrival.request_id,
                body_hash=digest,
                origin=arrival.origin,
                accepted_at=arrival.accepted_at,
                planned_at=now,
                request=arrival.request,
                plan=await self._planner.plan(arrival),
            )
            found = await self._notifications.put_if_absent(planned)
        if found.body_hash != digest:
            raise Refused(
                "request_id_conflict", "/request_id", "this request id came before with another body; the first one counts"
            )
        return found, found is planned

    async def _hand_out(self, record: Received, arrival: Arrival, notification: Notification, now: datetime) -> None:
        """Deliveries, status, receipt, then the mark: dying in between repeats the whole, which does no harm."""
        await asyncio.gather(*(self._deliver(arrival, line, notification) for line in notification.plan.to_make))
        skips = (self._report(record, arrival, notification, now, line) for line in notification.plan.skips)
        await asyncio.gather(
            self._report(record, arrival, notification, now),
            *skips,
            self._receipt(record, arrival, notification, "accepted"),
        )
        await self._notifications.mark_routed(notification, now)
        log.info("notification.routed", deliveries=len(notification.plan.to_make), skipped=len(notification.plan.skips))

    async def _deliver(self, arrival: Arrival, line: PlannedDelivery, notification: Notification) -> None:
        delivery = DeliveryRecord(
            environment=arrival.environment,
            notification_id=notification.notification_id,
            delivery_id=line.delivery_id,
            recipient=line.recipient,
            channel=line.channel,
            priority=notification.plan.priority,
            correlation_id=arrival.correlation_id,
            traceparent=arrival.traceparent,
        )
        topic = topics.deliveries(arrival.environment, line.channel, notification.plan.priority)
        value = delivery.model_dump_json(exclude_defaults=True).encode()
        headers = {cloudevents.TRACEPARENT: arrival.traceparent, cloudevents.CORRELATION_ID: arrival.correlation_id}
        await self._publisher.publish(Outgoing(topic, line.recipient, value, headers))

    async def _report(
        self,
        record: Received,
        arrival: Arrival,
        notification: Notification,
        now: datetime,
        skip: PlannedDelivery | None = None,
    ) -> None:
        event = StatusEvent(
            environment=arrival.environment,
            notification_id=notification.notification_id,
            delivery_id=skip.delivery_id if skip else None,
            event="skipped" if skip else "routed",
            state="SKIPPED" if skip else None,
            reason=skip.skipped if skip else None,
            recipient=skip.recipient if skip else None,
            channel=skip.channel if skip else None,
            at=now,
            origin=record.position,
        )
        await self._reporter.status(event, correlation_id=arrival.correlation_id, traceparent=arrival.traceparent)

    async def _receipt(self, record: Received, arrival: Arrival, notification: Notification, verdict: Verdict) -> None:
        plan = notification.plan
        receipt = Receipt(
            producer=arrival.producer,
            request_id=arrival.request_id,
            notification_id=notification.notification_id,
            verdict=verdict,
            counts={"PLANNED": len(plan.to_make), "SKIPPED": len(plan.skips)},
            origin=record.position,
            at=datetime.now(UTC),
        )
        await self._reporter.receipt(arrival.environment, receipt)

    async def _refuse(self, record: Received, refusal: Refusal) -> None:
        """The bytes to quarantine, the reason to the producer; the neighbours flow on."""
        await put_away(self._publisher, record, refusal.reason, refusal.errors)
        note = Unplanned(
            status="REJECTED",
            producer=refusal.producer,
            request_id=refusal.request_id,
            at=datetime.now(UTC),
            reason=refusal.reason,
            errors=refusal.errors,
        )
        await self._notifications.note_unplanned(refusal.environment, refusal.notification_id, note)
        receipt = Receipt(
            producer=refusal.producer,
            request_id=refusal.request_id,
            notification_id=None,
            verdict="rejected",
            errors=refusal.errors,
            origin=record.position,
            at=datetime.now(UTC),
        )
        await self._reporter.receipt(refusal.environment, receipt)
        log.warning("request.refused", producer=refusal.producer, reason=refusal.reason, at=str(record.position))

    async def _postpone(self, record: Received, arrival: Arrival, until: datetime) -> None:
        """A later request rests in a timer and comes back as it was, under its first ids."""
        headers = cloudevents.text_headers(record.headers)
        headers.setdefault("ce_id", arrival.request_id)
        timer = Timer(
            environment=arrival.environment,
            # by its place in Kafka: a record that comes back too early gets a timer of its own, not one just deleted
            timer_id=f"{arrival.notification_id}#{record.position}",
            due_at=until,
            topic=record.topic,
            key=None if record.key is None else record.key.decode(errors="replace"),
            value=(record.value or b"").decode(),
            headers=headers,
        )
        await self._timers.put(timer)
        note = Unplanned(
            status="SCHEDULED", producer=arrival.producer, request_id=arrival.request_id, at=datetime.now(UTC), due_at=until
        )
        await self._notifications.note_unplanned(arrival.environment, arrival.notification_id, note)
        event = StatusEvent(
            environment=arrival.environment,
            notification_id=arrival.notification_id,
            event="scheduled",
            at=datetime.now(UTC),
            next_at=until,
            origin=record.position,
        )
        await self._reporter.status(event, correlation_id=arrival.correlation_id, traceparent=arrival.traceparent)
