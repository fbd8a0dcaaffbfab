"""When everything planned for a notification has ended, and what its producer is told then. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from schemas.audiences import Progress, Tally, are_walked
from schemas.deliveries import ENDED, Delivery
from schemas.events import Receipt, StatusEvent
from schemas.plan import Notification

_SKIP_REVISION = 1


def final_receipt(notification: Notification, rows: Sequence[Delivery]) -> Receipt | None:
    """The counts per state, skips included; None while a planned delivery has not ended.

    The revision is the sum of the rows' versions: the same rows say the same receipt, a later step a newer one.
    """
    known = {row.delivery_id: row for row in rows}
    counts: Counter[str] = Counter()
    revision, at = 0, notification.planned_at
    for line in notification.plan.lines:
        row = known.get(line.delivery_id)
        if row is None and line.skipped is None:
            return None
        if row is not None and row.state not in ENDED:
            return None
        counts[row.state if row else "SKIPPED"] += 1
        revision += row.version if row else _SKIP_REVISION
        at = max(at, row.updated_at) if row else at
    return _final(notification.producer, notification.request_id, notification.notification_id, counts, revision, at)


def final_receipt_of_audience(notification: Notification, walks: Sequence[Progress], tally: Tally) -> Receipt | None:
    """The same where the plan does not list everybody: by what the walks have counted and what the rows add up to."""
    is_walked = are_walked(walks, is_cancelled=notification.cancelled_at is not None)
    planned = len(notification.plan.lines) + sum(walk.planned + walk.skipped for walk in walks)
    if not is_walked or tally.states.keys() - ENDED or tally.states.total() != planned:
        return None
    at = max((walk.updated_at for walk in walks), default=notification.planned_at)
    ids = notification.producer, notification.request_id, notification.notification_id
    return _final(
        *ids, {str(state): count for state, count in tally.states.items()}, tally.versions, max(at, notification.planned_at)
    )


def final_receipt_of(event: StatusEvent) -> Receipt | None:
    """What an event alone can tell: the end of an only delivery, or that nothing was planned at all."""
    if event.producer is None or event.request_id is None:
        return None
    ids = event.producer, event.request_id, event.notification_id
    if event.of == 0 and event.event == "routed":
        return _final(*ids, {}, 0, event.at)
    if event.of == 1 and event.state is not None and event.state in ENDED:
        return _final(*ids, {event.state: 1}, event.version, event.at)
    return None


def _final(
    producer: str, request_id: str, notification_id: str, counts: Mapping[str, int], revision: int, at: datetime
) -> Receipt:
    return Receipt(
        producer=producer,
        request_id=request_id,
        notification_id=notification_id,
        verdict="final",
        revision=revision,
        counts=dict(counts),
        at=at,
    )
