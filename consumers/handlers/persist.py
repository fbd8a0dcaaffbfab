"""persist: writes the ledger rows that no claim has written, wakes those who wait, and tells producers the final outcome."""

from consumers.burial import crash, put_away
from consumers.completing import COMPLETION_TYPE, Completing
from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.expansions import ExpansionStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Publisher, Received
from infrastructure.redis.live import Announcer
from schemas import cloudevents
from schemas.completion import final_receipt, final_receipt_of, final_receipt_of_audience
from schemas.deliveries import ENDED, Delivery
from schemas.events import Completion, Receipt, StatusEvent
from schemas.plan import Notification


class Persist:
    def __init__(
        self,
        notifications: NotificationStore,
        expansions: ExpansionStore,
        deliveries: DeliveryStore,
        timers: TimerStore,
        announcer: Announcer,
        publisher: Publisher,
        reporter: Reporter,
    ) -> None:
        self._notifications = notifications
        self._expansions = expansions
        self._deliveries = deliveries
        self._completing = Completing(timers)
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
            await self._completing.ask(event.environment, event.notification_id, is_audience=event.shards > 1)
        if event.state in ENDED:
            await self._announcer.outcome_known(event.environment, event.notification_id)

    async def _complete(self, asked: Completion) -> None:
        """Says nothing while something is under way: whatever ends last asks again."""
        notification = await self._notifications.get(asked.environment, asked.notification_id)
        if notification is None:
            return
        if (receipt := await self._final(notification)) is not None:
            await self._reporter.receipt(asked.environment, receipt)

    async def _final(self, notification: Notification) -> Receipt | None:
        environment, notification_id = notification.environment, notification.notification_id
        audience, shards = notification.plan.audience, notification.plan.shards
        if audience is None:
            return final_receipt(notification, await self._deliveries.of(environment, notification_id))
        walks = await self._expansions.of(environment, notification_id, audience.shards)
        if not all(walk.done for walk in walks):  # the end of the last one asks again
            return None
        tally = await self._deliveries.tally(environment, notification_id, shards)
        return final_receipt_of_audience(notification, walks, tally)


def _read(record: Received) -> StatusEvent | Completion:
    """Raises `ValueError` for what none of our workers writes."""
    kind = cloudevents.text_headers(record.headers).get("ce_type")
    wanted: type[StatusEvent | Completion] = Completion if kind == COMPLETION_TYPE else StatusEvent
    return wanted.model_validate_json(record.value or b"")


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
        shards=event.shards,
        state=event.state,
        turn=event.turn,
        version=event.version,
        reason=event.reason,
        answer=event.answer,
        updated_at=event.at,
    )
    return row.with_step(str(event.origin or ""))
