"""What was sent for later and has not gone out: of one producer, and of one person together with what rests for them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from infrastructure.dynamo.schedules import Entry, of_person, of_producer
from infrastructure.resources import Stores
from schemas.base import iso
from schemas.deliveries import Delivery
from schemas.holds import place_of_rest
from schemas.plan import Notification
from schemas.schedules import last_moment

Placed = tuple[str, dict[str, Any] | None]
"""Where it stands by time, and what is shown of it; None where it has gone out, was moved or cancelled since."""


async def of_sender(
    stores: Stores, environment: str, producer: str, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """By the time at which the last of each is due; the place behind which it goes on, None at the end."""
    entries = await stores.schedules.page(environment, of_producer(producer), after=after or _now(), limit=limit + 1)
    return _page(await asyncio.gather(*(_of_sender(stores, environment, entry) for entry in entries)), limit)


async def of_recipient(
    stores: Stores, environment: str, person: str, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Both what rests in the ledger and what waits to be routed, the earliest first."""
    rows, entries = await asyncio.gather(
        stores.deliveries.resting_of(environment, person, after=after, limit=limit + 1),
        stores.schedules.page(environment, of_person(person), after=after or _now(), limit=limit + 1),
    )
    placed: Sequence[Placed] = await asyncio.gather(
        *(_resting(stores, row) for row in rows), *(_unrouted(stores, environment, entry) for entry in entries)
    )
    return _page(sorted(placed, key=lambda each: each[0]), limit)


def _page(placed: Sequence[Placed], limit: int) -> tuple[list[dict[str, Any]], str | None]:
    shown = [each for _, each in placed[:limit] if each is not None]
    return shown, placed[limit - 1][0] if len(placed) > limit else None


async def _of_sender(stores: Stores, environment: str, entry: Entry) -> Placed:
    planned = await stores.notifications.get(environment, entry.notification_id)
    if planned is None:
        return await _unrouted(stores, environment, entry)
    send_at = planned.request.send_at
    if send_at is None or not entry.is_of(last_moment(send_at)) or planned.cancelled_at is not None:
        return entry.place, None
    return entry.place, _shown(planned.notification_id, planned.request_id, send_at) | {"status": "DELIVERING"}


async def _unrouted(stores: Stores, environment: str, entry: Entry) -> Placed:
    """Only while it has no plan: from then on its deliveries rest in the ledger."""
    note, planned, cancelled = await asyncio.gather(
        stores.notifications.unplanned(environment, entry.notification_id),
        stores.notifications.get(environment, entry.notification_id),
        stores.notifications.cancellation(environment, entry.notification_id),
    )
    if planned is not None or cancelled is not None or note is None or note.send_at is None:
        return entry.place, None
    if not entry.is_of(last_moment(note.send_at)):  # moved since: it has another entry
        return entry.place, None
    return entry.place, _shown(entry.notification_id, note.request_id, note.send_at) | {"status": "SCHEDULED"}


async def _resting(stores: Stores, row: Delivery) -> Placed:
    notification: Notification | None = await stores.notifications.get(row.environment, row.notification_id)
    if notification is None or notification.cancelled_at is not None:
        return place_of_rest(row), None
    shown = {
        "notification_id": row.notification_id,
        "delivery_id": row.delivery_id,
        "channel": row.channel,
        "type": notification.plan.type,
        "category": notification.plan.category,
        "send_at": notification.request.send_at,
        "due_at": row.next_at,
        "reason": row.reason,
        "status": "HELD",
    }
    return place_of_rest(row), shown


def _shown(notification_id: str, request_id: str, send_at: datetime) -> dict[str, Any]:
    return {"notification_id": notification_id, "request_id": request_id, "send_at": send_at, "due_by": last_moment(send_at)}


def _now() -> str:
    return iso(datetime.now(UTC))
