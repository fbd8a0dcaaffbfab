"""What happened to a notification, step by step; written by persist, read by people."""

from datetime import timedelta

from infrastructure.dynamo.client import Dynamo
from infrastructure.dynamo.tables import EXPIRES, TIMELINE
from schemas.events import StatusEvent

KEPT = timedelta(days=35)


class TimelineStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def add(self, event: StatusEvent) -> None:
        """Idempotent: the same event lands on the same row. Batched with the others of the moment."""
        item = {
            "notification_id": event.notification_id,
            "entry": event.order,
            "document": event.model_dump_json(exclude_defaults=True),
            EXPIRES: int((event.at + KEPT).timestamp()),
        }
        await self._dynamo.put_soon(TIMELINE.named(event.environment), item, TIMELINE.key)

    async def of(self, environment: str, notification_id: str) -> list[StatusEvent]:
        """Every step in the order of time."""
        rows = await self._dynamo.query(TIMELINE.named(environment), "notification_id = :id", {":id": notification_id})
        return sorted((StatusEvent.model_validate_json(row["document"]) for row in rows), key=lambda event: event.at)
