"""The notification's row: the request, its plan, and what became of it as a whole."""

from datetime import datetime, timedelta

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import EXPIRES, NOTIFICATIONS
from schemas.base import iso
from schemas.plan import Notification, Unplanned

KEPT = timedelta(days=35)
# The mark that a plan was handed out is a row of its own: written without a condition, it fills batches.
_ROUTED = "#routed"
_UNPLANNED = "#unplanned"
# The largest number of seconds that still is a date (9999-12-31): a row that outlives it need not expire.
_LATEST_S = 253_402_300_799


def _read(item: Item) -> Notification:
    notification = Notification.model_validate_json(item["document"])
    cancelled_at: str | None = item.get("cancelled_at")
    moment = datetime.fromisoformat(cancelled_at) if cancelled_at else None
    return notification.model_copy(update={"cancelled_at": moment})


class NotificationStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def put_if_absent(self, notification: Notification) -> Notification:
        """Stores the plan once; the row as it stands is returned, whoever put it."""
        item = {
            "notification_id": notification.notification_id,
            "body_hash": notification.body_hash,
            "document": notification.model_dump_json(exclude={"cancelled_at"}, exclude_defaults=True),
            EXPIRES: _expires(notification),
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
        """From now on a replay produces only a receipt. Batched with the others of the moment."""
        mark = {
            "notification_id": notification.notification_id + _ROUTED,
            "routed_at": iso(at),
            EXPIRES: _expires(notification),
        }
        await self._dynamo.put_soon(NOTIFICATIONS.named(notification.environment), mark, NOTIFICATIONS.key)

    async def is_routed(self, environment: str, notification_id: str) -> bool:
        """Whether every delivery of the plan has been handed out."""
        key = {"notification_id": notification_id + _ROUTED}
        return await self._dynamo.get(NOTIFICATIONS.named(environment), key) is not None

    async def note_unplanned(self, environment: str, notification_id: str, note: Unplanned) -> None:
        """What can be looked up as long as there is no plan. Batched with the others of the moment."""
        row = {
            "notification_id": notification_id + _UNPLANNED,
            "note": note.model_dump_json(exclude_defaults=True),
            EXPIRES: _kept_after(note.due_at or note.at),
        }
        await self._dynamo.put_soon(NOTIFICATIONS.named(environment), row, NOTIFICATIONS.key)

    async def unplanned(self, environment: str, notification_id: str) -> Unplanned | None:
        key = {"notification_id": notification_id + _UNPLANNED}
        found = await self._dynamo.get(NOTIFICATIONS.named(environment), key)
        return Unplanned.model_validate_json(found["note"]) if found else None


def _expires(notification: Notification) -> int:
    return _kept_after(notification.plan.expires_at or notification.accepted_at)


def _kept_after(last_step: datetime) -> int:
    return min(int(last_step.timestamp() + KEPT.total_seconds()), _LATEST_S)
