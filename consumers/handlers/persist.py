"""persist: writes the ledger rows that no claim has written, wakes those who wait, and tells producers the final outcome."""

from datetime import UTC, datetime, timedelta

from consumers.burial import crash, put_away
from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Publisher, Received
from infrastructure.redis.live import Announcer
from schemas import cloudevents, topics
from schemas.completion import final_receipt, final_receipt_of
from schemas.deliveries import ENDED, Delivery
from schemas.events import Completion, StatusEvent
from schemas.timers import Timer

COMPLETION_TYPE = "carillon.completion.v1"


class Persist:
    def __init__(
        self,
        notifications: NotificationStore,
        deliveries: DeliveryStore,
        timers: TimerStore,
        announcer: Announcer,
        publisher: Publisher,
        reporter: Reporter,
    ) -> None:
        self._notifications = notifications
        self._deliveries = deliveries
        self._timers = timers
        self._announcer = announcer
        self._publisher = publisher
        self._reporter = reporter

    async def handle(self, record: Received) -> None:
        try:
            said = _read(record)
        except ValueError:
            await put_away(self._publisher, record, "unreadable")
            return
        if isinstance(said, Completion):
            await self._complete(said)
        else:
            await self._fold(said)

    async def bury(self, record: Received, error: Exception) -> None:
        await put_away(self._publisher, record, crash(error))

    async def _fold(self, event: StatusEvent) -> None:
        row = _unclaimed_row(event)
        if row is not None:
            await self._deliveries.record(row)
        if (receipt := final_receipt_of(event)) is not None:
            await self._reporter.receipt(event.environment, receipt)
        elif event.state in ENDED:
            await self._ask_later(event)
        if event.state in ENDED:
            await self._announcer.outcome_known(event.environment, event.notification_id)

    async def _ask_later(self, event: StatusEvent) -> None:
        """Until a timer stands that cannot have fired yet: one that is just firing may have looked too early."""
        while True:
            timer = _completion_timer(event, datetime.now(UTC))
            await self._timers.put(timer)
            if datetime.now(UTC) < timer.due_at:
                return

    async def _complete(self, asked: Completion) -> None:
        """Says nothing while something is under way: whatever ends last asks again."""
        notification = await self._notifications.get(asked.environment, asked.notification_id)
        if notification is None:
            return
        rows = await self._deliveries.of(asked.environment, asked.notification_id)
        if (receipt := final_receipt(notification, rows)) is not None:
            await self._reporter.receipt(asked.environment, receipt)


def _read(record: Received) -> StatusEvent | Completion:
    """Raises `ValueError` for what none of our workers writes."""
    kind = cloudevents.text_headers(record.headers).get("ce_type")
    wanted: type[StatusEvent | Completion] = Completion if kind == COMPLETION_TYPE else StatusEvent
    return wanted.model_validate_json(record.value or b"")


def _completion_timer(event: StatusEvent, now: datetime) -> Timer:
    """Due at the second after the next full one: deliveries that end together put the same timer."""
    due = now.replace(microsecond=0) + timedelta(seconds=2)
    asked = Completion(environment=event.environment, notification_id=event.notification_id)
    name = f"final#{event.notification_id}"
    return Timer(
        environment=event.environment,
        timer_id=name,
        due_at=due,
        topic=topics.status(event.environment),
        key=event.notification_id,
        value=asked.model_dump_json(),
        headers=cloudevents.event_headers(
            COMPLETION_TYPE, event_id=f"{name}#{int(due.timestamp())}", source="persist", time=due
        ),
    )


def _unclaimed_row(event: StatusEvent) -> Delivery | None:
    """The ledger row of a delivery that no claim has written: an inbox item, a skip of the plan, or what ended there."""
    if event.delivery_id is None or event.state is None or not event.unclaimed:
        return None
    row = Delivery(
        environment=event.environment,
        notification_id=event.notification_id,
        delivery_id=event.delivery_id,
        recipient=event.recipient or "",
        channel=event.channel or "",
        state=event.state,
        turn=event.turn,
        version=event.version,
        reason=event.reason,
        answer=event.answer,
        updated_at=event.at,
    )
    return row.with_step(str(event.origin or ""))
