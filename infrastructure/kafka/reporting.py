"""What a worker tells the world about its step: status events and receipts, each awaited before the step counts as done."""

from infrastructure.ports import Outgoing, Publisher, Received
from schemas import cloudevents, topics
from schemas.base import iso
from schemas.events import Receipt, StatusEvent
from schemas.topics import Environment

STATUS_TYPE = "carillon.status.v1"
RECEIPT_TYPE = "carillon.receipt.v1"
DEAD_LETTER_TYPE = "carillon.deadletter.v1"


class Reporter:
    """Publishes in CloudEvents binary mode under the name of one worker."""

    def __init__(self, publisher: Publisher, worker: str) -> None:
        self._publisher = publisher
        self._worker = worker

    async def status(self, event: StatusEvent, *, correlation_id: str, traceparent: str) -> None:
        """Keyed by delivery, so the steps of one delivery stay in order."""
        headers = cloudevents.event_headers(
            STATUS_TYPE, event_id=f"{event.notification_id}#{event.name}", source=self._worker, time=event.at
        )
        headers[cloudevents.CORRELATION_ID] = correlation_id
        headers[cloudevents.TRACEPARENT] = traceparent
        value = event.model_copy(update={"worker": self._worker}).model_dump_json(exclude_defaults=True)
        key = event.delivery_id or event.notification_id
        await self._publisher.publish(Outgoing(topics.status(event.environment), key, value.encode(), headers))

    async def receipt(self, environment: Environment, receipt: Receipt) -> None:
        event_id = f"{receipt.producer}#{receipt.request_id}#{receipt.verdict}"
        if receipt.revision is not None:
            event_id += f"#{receipt.revision}"
        headers = cloudevents.event_headers(RECEIPT_TYPE, event_id=event_id, source=self._worker, time=receipt.at)
        value = receipt.model_dump_json(exclude_none=True).encode()
        await self._publisher.publish(Outgoing(topics.receipts(environment), receipt.request_id, value, headers))

    async def dead_letter(self, event: StatusEvent, record: Received) -> None:
        """A delivery given up: the record as it came, its headers, and why; the content stays in the notification's row."""
        headers: dict[str, str | bytes] = {}
        for name, header in record.headers:
            headers.setdefault(name, header)
        headers |= cloudevents.event_headers(
            DEAD_LETTER_TYPE, event_id=event.delivery_id or "", source=self._worker, time=event.at
        )
        headers |= {
            "x-dlq-reason": event.reason or "",
            "x-dlq-attempts": str(event.attempt + 1),
            "x-dlq-origin": str(record.position),
            "x-dlq-at": iso(event.at),
        }
        topic = topics.dead_letters(event.environment)
        await self._publisher.publish(Outgoing(topic, event.delivery_id, record.value, headers))
