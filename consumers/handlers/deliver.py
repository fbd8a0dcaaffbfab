"""deliver: one record, one attempt, exactly one consequence. What channels share; the effect itself is the subclass's."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from consumers.burial import crash, put_away
from consumers.choices import NOTHING_CHOSEN, Choices
from consumers.following import Following
from consumers.gathering import AheadOfItsRow, Crowded, Gathering
from consumers.handlers.content import Wording
from consumers.lines import Lines
from consumers.waits import Waits
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.metrics import DELIVERIES
from infrastructure.ports import Content, Publisher, Received
from infrastructure.rendering import CannotRender
from schemas import cloudevents, topics
from schemas.catalogue import UnknownName
from schemas.deliveries import Delivery, DeliveryRecord, State
from schemas.erasures import ERASED, covers
from schemas.events import event_of
from schemas.plan import Notification, PlannedDelivery
from schemas.preferences import Preferences

log = structlog.get_logger()


@dataclass(frozen=True)
class Shared:
    """What delivering takes, whatever the channel."""

    notifications: NotificationStore
    wording: Wording
    publisher: Publisher
    reporter: Reporter
    longest: timedelta
    lines: Lines
    choices: Choices
    waits: Waits
    following: Following
    gathering: Gathering


class Deliver(ABC):
    """Reads what may have changed while the record waited, renders, then lets the channel act."""

    def __init__(self, shared: Shared) -> None:
        self._notifications = shared.notifications
        self._wording = shared.wording
        self._publisher = shared.publisher
        self._reporter = shared.reporter
        self._longest = shared.longest
        self._lines = shared.lines
        self._choices = shared.choices
        self._waits = shared.waits
        self._following = shared.following
        self._gathering = shared.gathering

    async def handle(self, record: Received) -> None:
        try:
            delivery = DeliveryRecord.model_validate_json(record.value or b"")
        except ValueError:
            await self._put_away(record, "unreadable")
            return
        with structlog.contextvars.bound_contextvars(
            delivery=delivery.delivery_id,
            notification=delivery.notification_id,
            channel=delivery.channel,
            correlation_id=delivery.correlation_id,
            trace_id=cloudevents.trace_id(delivery.traceparent),
        ):
            line = notification = None
            chosen = NOTHING_CHOSEN
            if delivery.environment == topics.environment_of(record.topic):
                notification, chosen, erased = await asyncio.gather(  # at once, so that one call reads them all
                    self._notifications.get(delivery.environment, delivery.notification_id),
                    self._choices.of(delivery),
                    self._choices.erased(delivery),
                )
                line = await self._line(record, delivery, notification, erased) if notification else None
            if notification is None or line is None:
                # only route and expand hand out deliveries; this one was written by somebody else
                await self._put_away(record, "not_planned")
                return
            line = await self._waits.timed(delivery, notification, line, chosen)
            if not await self._is_gathered(record, delivery, notification, line, chosen):
                await self._act(record, delivery, notification, line, chosen)

    async def _is_gathered(
        self,
        record: Received,
        delivery: DeliveryRecord,
        notification: Notification,
        line: PlannedDelivery,
        chosen: Preferences,
    ) -> bool:
        """What was sent for later joins its digest when its own time has come; what has ended by then does not."""
        now = now_utc()
        if line.digest is None or (line.due_at is not None and now < line.due_at):
            return False
        if self.stopped(notification, line, chosen, now) or await self._following.needless(notification, line):
            return False
        try:
            return await self._gathering.joins(record, notification, line, delivery)
        except Crowded as crowded:
            log.warning("digest.crowded", series=str(crowded))
        except AheadOfItsRow:
            log.info("delivery.ahead", turn=delivery.turn)
        await self._waits.come_back(delivery)
        return True

    async def _line(
        self, record: Received, delivery: DeliveryRecord, notification: Notification, erased: datetime | None
    ) -> PlannedDelivery | None:
        """The one it follows; skipped, where its person was erased since. Their name may be gone from the plan already."""
        if not covers(erased, notification):
            return await self._lines.of(record.topic, delivery, notification, (delivery.recipient,))
        line = await self._lines.of(record.topic, delivery, notification, self._choices.names(delivery))
        return line.model_copy(update={"recipient": delivery.recipient, "skipped": ERASED}) if line else None

    async def bury(self, record: Received, error: Exception) -> None:
        """The bytes to quarantine; a delivery that was planned also ends, FAILED, where people can look it up."""
        await self._put_away(record, crash(error))
        try:
            delivery = DeliveryRecord.model_validate_json(record.value or b"")
        except ValueError:
            return
        await self._give_up(record, delivery, await self._known(delivery), crash(error))

    async def _known(self, delivery: DeliveryRecord) -> Notification | None:
        """None, too, for a row that cannot be read: that may be the very crash, and must not keep it from its end."""
        try:
            return await self._notifications.get(delivery.environment, delivery.notification_id)
        except ValueError:
            log.exception("notification.unreadable")
            return None

    def deadline_of(self, notification: Notification, line: PlannedDelivery) -> datetime:
        """Of a further step: each step before it may have taken as long as any."""
        due_at = (line.due_at or notification.accepted_at) + notification.plan.waits_before(line)
        return notification.plan.deadline(due_at, self._longest * (1 + line.step))

    def stopped(
        self, notification: Notification, line: PlannedDelivery, chosen: Preferences, now: datetime
    ) -> tuple[State, str] | None:
        """Why this delivery is not to be attempted any more, if so."""
        if notification.cancelled_at is not None:
            return "CANCELLED", "cancelled"
        if now >= self.deadline_of(notification, line):
            return "EXPIRED", "deadline_passed"
        if line.skipped is not None:  # somebody of an audience, whose address is gone since; or who was erased
            return "SKIPPED", line.skipped
        unwanted = self._choices.refusal(chosen, notification, line, now)
        return ("SKIPPED", unwanted) if unwanted else None

    async def content(self, notification: Notification, line: PlannedDelivery) -> Content | str:
        """The text, or the reason why there is none."""
        try:
            return await self._wording.of(notification, line)
        except (CannotRender, UnknownName) as error:
            log.warning("delivery.not_rendered", error=str(error))
            return "cannot_render"

    @abstractmethod
    async def _give_up(
        self, record: Received, delivery: DeliveryRecord, notification: Notification | None, reason: str
    ) -> None: ...

    @abstractmethod
    async def _act(
        self,
        record: Received,
        delivery: DeliveryRecord,
        notification: Notification,
        line: PlannedDelivery,
        chosen: Preferences,
    ) -> None: ...

    async def report(
        self, record: Received, carried: DeliveryRecord, row: Delivery, notification: Notification | None
    ) -> None:
        """The row's state, said to everybody; a repeat says the same under the same id."""
        whose = notification.whose if notification else {}
        event = event_of(row, origin=record.position, unclaimed=row.claim_token is None, **whose)
        if row.state == "FAILED":
            await self._reporter.dead_letter(event, record)
        if notification is not None:
            await self._following.put_next(carried, notification, row)
        await self._reporter.status(event, correlation_id=carried.correlation_id, traceparent=carried.traceparent)
        DELIVERIES.labels(row.channel, row.state).inc()
        log.info(
            "delivery.settled",
            state=row.state,
            attempt=row.attempt,
            recipient=row.recipient,
            reason=row.reason,
            answer=row.answer,
            at=str(record.position),
        )

    async def _put_away(self, record: Received, reason: str) -> None:
        await put_away(self._publisher, record, reason)
        log.error("delivery.quarantined", reason=reason, at=str(record.position))


def now_utc() -> datetime:
    return datetime.now(UTC)
