"""The notification's row: the request, its plan, and what became of it as a whole."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal

from pydantic import TypeAdapter

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import EXPIRES, NOTIFICATIONS
from schemas.base import iso
from schemas.cancelling import Cancellation, CancelledDelivery
from schemas.plan import Notification, Unplanned
from schemas.rescheduling import Rescheduling
from schemas.schedules import SendAt, last_moment

KEPT = timedelta(days=35)
# The mark that a plan was handed out is a row of its own: written without a condition, it fills batches.
_ROUTED = "#routed"
_UNPLANNED = "#unplanned"
# The largest number of seconds that still is a date (9999-12-31): a row that outlives it need not expire.
_LATEST_S = 253_402_300_799
_SEND_AT: TypeAdapter[datetime] = TypeAdapter(SendAt)
_ANSWERS: TypeAdapter[tuple[CancelledDelivery, ...]] = TypeAdapter(tuple[CancelledDelivery, ...])


def _read(item: Item) -> Notification:
    notification = Notification.model_validate_json(item["document"])
    cancelled_at: str | None = item.get("cancelled_at")
    moment = datetime.fromisoformat(cancelled_at) if cancelled_at else None
    return moved(notification, _moved_to(item)).model_copy(update={"cancelled_at": moment, "wish": item.get("wish")})


def _moved_to(item: Item) -> datetime | None:
    return _SEND_AT.validate_python(item["send_at"]) if "send_at" in item else None


def moved(notification: Notification, send_at: datetime | None) -> Notification:
    """With the time that is in force; what came of the request under its first time stays what it was."""
    if send_at is None:
        return notification
    request = notification.request.model_copy(update={"send_at": send_at})
    return notification.model_copy(update={"request": request})


class NotificationStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def put_if_absent(self, notification: Notification) -> Notification:
        """Stores the plan once; the row as it stands is returned, whoever put it. A cancellation may have come before."""
        row = {
            "body_hash": notification.body_hash,
            "document": notification.model_dump_json(exclude={"cancelled_at", "wish"}, exclude_defaults=True),
            EXPIRES: _expires(notification),
        }
        try:
            return _read(
                await self._dynamo.update(
                    NOTIFICATIONS.named(notification.environment),
                    {"notification_id": notification.notification_id},
                    row,
                    condition="attribute_not_exists(#s_body_hash)",
                )
            )
        except ConditionFailed as found:
            return _read(found.item)

    async def cancel(self, environment: str, notification_id: str, at: datetime) -> Notification | None:
        """From now on every step finds it cancelled, also one that has not been planned yet (None). The first time stays."""
        table, key = NOTIFICATIONS.named(environment), {"notification_id": notification_id}
        try:
            row = await self._dynamo.update(
                table, key, {"cancelled_at": iso(at)}, condition="attribute_not_exists(#s_cancelled_at)"
            )
        except ConditionFailed as failed:
            row = failed.item
        if "document" in row:
            return _read(row)
        with suppress(ConditionFailed):  # planned this moment: then the row has its own time to live
            expires = {EXPIRES: kept_after(at)}
            await self._dynamo.update(table, key, expires, condition="attribute_not_exists(body_hash)")
        return None

    async def note_cancelled(self, environment: str, notification_id: str, answers: Sequence[CancelledDelivery]) -> None:
        """What the cancellation found, for whoever asked for it."""
        found = _ANSWERS.dump_json(tuple(answers), exclude_defaults=True).decode()
        key = {"notification_id": notification_id}
        await self._dynamo.update(NOTIFICATIONS.named(environment), key, {"cancel_answers": found})

    async def note_nothing_planned(self, environment: str, notification_id: str) -> None:
        """The cancellation came first. Whoever has planned it since writes the answers, so they are left alone."""
        table, key = NOTIFICATIONS.named(environment), {"notification_id": notification_id}
        with suppress(ConditionFailed):
            await self._dynamo.update(table, key, {"cancel_answers": "[]"}, condition="attribute_not_exists(body_hash)")

    async def cancellation(self, environment: str, notification_id: str) -> Cancellation | None:
        """None when nobody cancelled it."""
        row = await self._dynamo.get(NOTIFICATIONS.named(environment), {"notification_id": notification_id})
        if not row or "cancelled_at" not in row:
            return None
        answers = row.get("cancel_answers")
        return Cancellation(
            cancelled_at=row["cancelled_at"], deliveries=_ANSWERS.validate_json(answers) if answers else None
        )

    async def reschedule(
        self, environment: str, notification_id: str, asked: Rescheduling, at: datetime
    ) -> Notification | Literal["newer", "cancelled"] | None:
        """From now on every step finds the new time, also one that plans it only later (None). The latest wish counts."""
        table, key = NOTIFICATIONS.named(environment), {"notification_id": notification_id}
        changes = {
            "send_at": asked.model_dump(mode="json")["send_at"],
            "moved_at": iso(at),
            "wish": asked.change_id,
            EXPIRES: kept_after(last_moment(asked.send_at)),
        }
        newest = "attribute_not_exists(#cancel) AND (attribute_not_exists(#s_moved_at) OR #s_moved_at <= :s_moved_at)"
        try:
            row = await self._dynamo.update(table, key, changes, condition=newest, names={"#cancel": "cancelled_at"})
        except ConditionFailed as failed:
            return "cancelled" if "cancelled_at" in failed.item else "newer"
        return _read(row) if "document" in row else None

    async def moved_to(self, environment: str, notification_id: str) -> datetime | None:
        """The time its sender gave it since, if any."""
        row = await self._dynamo.get(NOTIFICATIONS.named(environment), {"notification_id": notification_id})
        return _moved_to(row) if row else None

    async def note_rescheduled(self, environment: str, notification_id: str, done: Rescheduling) -> None:
        """What came of a new time, for whoever asked for it."""
        key, move = {"notification_id": notification_id}, done.model_dump_json(exclude_defaults=True)
        await self._dynamo.update(NOTIFICATIONS.named(environment), key, {"move": move})

    async def rescheduling(self, environment: str, notification_id: str) -> Rescheduling | None:
        row = await self._dynamo.get(NOTIFICATIONS.named(environment), {"notification_id": notification_id})
        return Rescheduling.model_validate_json(row["move"]) if row and "move" in row else None

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
            EXPIRES: kept_after(note.due_at or note.at),
        }
        await self._dynamo.put_soon(NOTIFICATIONS.named(environment), row, NOTIFICATIONS.key)

    async def unplanned(self, environment: str, notification_id: str) -> Unplanned | None:
        key = {"notification_id": notification_id + _UNPLANNED}
        found = await self._dynamo.get(NOTIFICATIONS.named(environment), key)
        return Unplanned.model_validate_json(found["note"]) if found else None


def _expires(notification: Notification) -> int:
    plan = notification.plan
    steps = sum((step.after for step in plan.fallback), timedelta(0))
    begins = max(notification.planned_at, notification.due_at)  # what was sent for later was accepted long before
    return kept_after(max(begins, plan.expires_at or begins + steps))


def kept_after(last_step: datetime) -> int:
    """Unix seconds at which a row may go whose last step was, or will be, at that time."""
    return min(int(last_step.timestamp() + KEPT.total_seconds()), _LATEST_S)
