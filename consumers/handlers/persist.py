"""persist: writes the ledger rows that no claim has written, in batches, and wakes those who wait for an outcome."""

from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.kafka.quarantine import quarantine_record
from infrastructure.ports import Publisher, Received
from infrastructure.redis.live import Announcer
from schemas import topics
from schemas.deliveries import FINAL, Delivery
from schemas.events import FieldError, StatusEvent

_UNCLAIMED_CHANNELS = {"in_app"}


class Persist:
    def __init__(self, deliveries: DeliveryStore, announcer: Announcer, publisher: Publisher) -> None:
        self._deliveries = deliveries
        self._announcer = announcer
        self._publisher = publisher

    async def handle(self, record: Received) -> None:
        event = StatusEvent.model_validate_json(record.value or b"")
        row = _unclaimed_row(event)
        if row is not None:
            await self._deliveries.record(row)
        if event.state in FINAL:
            await self._announcer.outcome_known(event.environment, event.notification_id)

    async def bury(self, record: Received, error: Exception) -> None:
        reason = f"crash:{type(error).__name__}"
        await self._publisher.publish(
            quarantine_record(
                topics.environment_of(record.topic),
                key=record.key,
                value=record.value,
                headers=record.headers,
                origin=str(record.position),
                reason=reason,
                detail=[FieldError(pointer="", detail=reason)],
            )
        )


def _unclaimed_row(event: StatusEvent) -> Delivery | None:
    """The ledger row of a delivery that no claim has written: an inbox item, or a skip of the plan."""
    if event.delivery_id is None or event.state is None:
        return None
    if event.channel not in _UNCLAIMED_CHANNELS and event.event != "skipped":
        return None
    row = Delivery(
        environment=event.environment,
        notification_id=event.notification_id,
        delivery_id=event.delivery_id,
        recipient=event.recipient or "",
        channel=event.channel or "",
        state=event.state,
        version=event.version,
        reason=event.reason,
        answer=event.answer,
        updated_at=event.at,
    )
    return row.with_step(str(event.origin or ""))
