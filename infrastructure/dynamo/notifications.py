"""The notification's row: the request, its plan, and what became of it as a whole."""

from datetime import datetime, timedelta
from typing import Any

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import EXPIRES, NOTIFICATIONS
from schemas.base import iso
from schemas.plan import Notification

KEPT = timedelta(days=35)
_OUTSIDE_DOCUMENT = {"routed_at", "cancelled_at"}


def _read(item: Item) -> Notification:
    notification = Notification.model_validate_json(item["document"])
    marks: dict[str, Any] = {name: _moment(item.get(name)) for name in _OUTSIDE_DOCUMENT}
    return notification.model_copy(update=marks)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


class NotificationStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def put_if_absent(self, notification: Notification) -> Notification:
        """Stores the plan once; the row as it stands is returned, whoever put it."""
        last_step = notification.plan.expires_at or notification.accepted_at
        item = {
            "notification_id": notification.notification_id,
            "body_hash": notification.body_hash,
            "document": notification.model_dump_json(exclude=_OUTSIDE_DOCUMENT, exclude_defaults=True),
            EXPIRES: int((last_step + KEPT).timestamp()),
        }
        try:
            table = NOTIFICATIONS.named(notification.environment)
            await self._dynamo.put(table, item, unless_exists="notification_id")
        except ConditionFailed as found:
            return _read(found.item)
        return notification

    async def get(self, environment: str, notification_id: str) -> Notification | None:
        """A consistent read, batched with the others of the moment."""
        found = await self._dynamo.get(NOTIFICATIONS.named(environment), {"notification_id": notification_id})
        return _read(found) if found and "document" in found else None

    async def mark_routed(self, notification: Notification, at: datetime) -> None:
        """From now on a replay produces only a receipt."""
        await self._dynamo.update(
            NOTIFICATIONS.named(notification.environment),
            {"notification_id": notification.notification_id},
            {"routed_at": iso(at)},
        )
