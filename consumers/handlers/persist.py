"""persist: writes the ledger rows that no claim has written, in batches, and wakes those who wait for an outcome."""

from consumers.burial import crash, put_away
from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.ports import Publisher, Received
from infrastructure.redis.live import Announcer
from schemas.deliveries import ENDED, Delivery
from schemas.events import StatusEvent


class Persist:
    def __init__(self, deliveries: DeliveryStore, announcer: Announcer, publisher: Publisher) -> None:
        self._deliveries = deliveries
        self._announcer = announcer
        self._publisher = publisher

    async def handle(self, record: Received) -> None:
        try:
            event = StatusEvent.model_validate_json(record.value or b"")
        except ValueError:
            await put_away(self._publisher, record, "unreadable")
            return
        row = _unclaimed_row(event)
        if row is not None:
            await self._deliveries.record(row)
        if event.state in ENDED:
            await self._announcer.outcome_known(event.environment, event.notification_id)

    async def bury(self, record: Received, error: Exception) -> None:
        await put_away(self._publisher, record, crash(error))


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
        version=event.version,
        reason=event.reason,
        answer=event.answer,
        updated_at=event.at,
    )
    return row.with_step(str(event.origin or ""))
