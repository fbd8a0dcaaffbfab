"""What became of a notification, put together from its row and the ledger; and waiting for it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from api.audiences import Reached, reached, rows_shown
from api.wiring import ApiResources
from infrastructure.redis.live import outcome_channel
from infrastructure.resources import Stores
from schemas.cancelling import Cancellation
from schemas.deliveries import Delivery
from schemas.events import Position
from schemas.fallback import comes_at, lines_for, waiting_reason
from schemas.plan import Notification, PlannedDelivery, Unplanned
from schemas.topics import Environment

ENDED = {"SETTLED", "REJECTED", "CANCELLED", "EMPTY"}
LOOK_AGAIN_S = 1.0


def line_state(line: PlannedDelivery, rows: dict[str, Delivery]) -> str:
    row = rows.get(line.delivery_id)
    if row is not None:
        return row.state
    return "SKIPPED" if line.skipped else "PENDING"


def status_of(
    notification: Notification,
    rows: Sequence[Delivery],
    lines: Sequence[PlannedDelivery] | None = None,
    audience: Reached | None = None,
) -> dict[str, Any]:
    """Every planned delivery with its state; `status` is SETTLED once nothing more will be tried.

    Of an audience `lines` are those that can be listed; the counts are of everybody.
    """
    known = {row.delivery_id: row for row in rows}
    listed = notification.plan.lines if lines is None else lines
    states = {line.delivery_id: line_state(line, known) for line in listed}
    counts = audience.counts(len(notification.plan.lines)) if audience else Counter(states.values())
    is_open = bool(counts.keys() & {"PENDING", "IN_FLIGHT", "RETRY"}) or (audience is not None and not audience.is_walked)
    return {
        "notification_id": notification.notification_id,
        "request_id": notification.request_id,
        "environment": notification.environment,
        "producer": notification.producer,
        "type": notification.plan.type,
        "priority": notification.plan.priority,
        "moved_to_bulk": None,
        "moved_to_normal": None,
        **notification.plan.moves,
        "status": "DELIVERING" if is_open else "SETTLED",
        "accepted_at": notification.accepted_at,
        "cancelled_at": notification.cancelled_at,
        "counts": dict(counts),
        "deliveries": [_delivery(notification, line, known, states) for line in listed],
        **({"audience": audience.shown()} if audience else {}),
        **({"digest": notification.plan.told.model_dump()} if notification.plan.told else {}),
    }


def _delivery(
    notification: Notification, line: PlannedDelivery, known: dict[str, Delivery], states: dict[str, str]
) -> dict[str, Any]:
    row = known.get(line.delivery_id)
    waits, comes = waiting_reason(notification.plan, line), None
    if row is None and line.step and line.skipped is None:
        comes = comes_at(notification.plan, lines_for(notification, line.recipient), line, known)
    return {
        "delivery_id": line.delivery_id,
        "recipient": line.recipient,
        "channel": line.channel,
        "state": states[line.delivery_id],
        "attempt": row.attempt if row else 0,
        "step": line.step,
        "reason": row.reason if row else line.skipped or waits,
        "answer": row.answer if row else None,
        "doubtful": row.doubtful if row else False,
        "provider": row.provider if row else None,
        "provider_id": row.provider_id if row else None,
        "next_at": row.next_at if row else comes,
        "updated_at": row.updated_at if row else None,
    }


def status_without_plan(
    environment: str, notification_id: str, note: Unplanned, cancellation: Cancellation | None
) -> dict[str, Any]:
    """SCHEDULED with its time, CANCELLED before that came, or REJECTED with what is wrong where."""
    cancelled = note.status == "SCHEDULED" and cancellation is not None
    return {
        "notification_id": notification_id,
        "request_id": note.request_id,
        "environment": environment,
        "producer": note.producer,
        "status": "CANCELLED" if cancelled else note.status,
        "accepted_at": note.at,
        "cancelled_at": cancellation.cancelled_at if cancellation else None,
        "due_at": note.due_at,
        "reason": note.reason,
        "errors": [error.model_dump() for error in note.errors],
        "counts": {},
        "deliveries": [],
    }


def timeline_of(
    notification: Notification, rows: Sequence[Delivery], *, for_operators: bool = False
) -> list[dict[str, Any]]:
    """Every step in the order of time, with its place in Kafka. Who did what by hand, and their notes, is for operators."""
    hidden = set() if for_operators else {"by", "note"}
    events = [{"event": "accepted", "at": notification.accepted_at, "origin": _place(notification.origin)}]
    events.append({"event": "routed", "at": notification.planned_at, "origin": _place(notification.origin)})
    events += [_planned_step(notification, line) for line in notification.plan.to_make if line.step]
    for row in rows:
        whose = {"delivery_id": row.delivery_id, "channel": row.channel, "recipient": row.recipient}
        for step in row.history:
            events.append(whose | step.model_dump(exclude_none=True, exclude=hidden) | {"origin": _place(step.origin)})
    return sorted(events, key=lambda event: event["at"])


def _planned_step(notification: Notification, line: PlannedDelivery) -> dict[str, Any]:
    """A step of the fallback, known from the beginning though it may never come."""
    step = notification.plan.fallback[line.step - 1]
    whose = {"delivery_id": line.delivery_id, "channel": line.channel, "recipient": line.recipient}
    waits = {"step": line.step, "after_s": step.after.total_seconds(), "unless": step.unless}
    return whose | waits | {"event": "planned", "at": notification.planned_at, "origin": _place(notification.origin)}


def _place(origin: str) -> dict[str, Any] | None:
    """`topic/partition/offset` as its parts; a Redis stream or nothing gives None."""
    try:
        return Position.of(origin).model_dump()
    except ValueError:
        return None


async def read_status(
    stores: Stores, environment: str, notification_id: str, viewer: str | None = None
) -> dict[str, Any] | None:
    """None while route has not read the request. Of an audience, the viewer's own deliveries are listed."""
    notification = await stores.notifications.get(environment, notification_id)
    if notification is not None:
        lines, rows = await rows_shown(stores, notification, viewer)
        return status_of(notification, rows, lines, await reached(stores, notification))
    note, cancellation = await asyncio.gather(
        stores.notifications.unplanned(environment, notification_id),
        stores.notifications.cancellation(environment, notification_id),
    )
    return status_without_plan(environment, notification_id, note, cancellation) if note else None


async def settled_within(
    resources: ApiResources, environment: Environment, notification_id: str, seconds: float
) -> dict[str, Any] | None:
    """The status once nothing more will be tried; None when that is not so in time."""
    try:
        async with (
            asyncio.timeout(seconds),
            resources.wakeups.listen(outcome_channel(environment, notification_id)) as changed,
        ):
            while True:
                found = await read_status(resources.stores, environment, notification_id)
                if found is not None and found["status"] in ENDED:
                    return found
                if found is not None and "audience" in found:
                    await asyncio.sleep(LOOK_AGAIN_S)  # each of its deliveries wakes us, and a look counts them all
                else:
                    await next_wakeup(changed)
    except TimeoutError:
        return None


async def next_wakeup(changed: asyncio.Queue[str]) -> None:
    """The next wake-up; one may be lost, so looking again now and then is part of it."""
    try:
        await asyncio.wait_for(changed.get(), LOOK_AGAIN_S)
    except TimeoutError:
        return
