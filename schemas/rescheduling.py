"""A new time for what was sent for later: what was asked, and what came of it, delivery by delivery."""

from typing import Literal

from schemas.base import Record, UtcDatetime
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.schedules import SendAt

MoveAnswer = Literal["moved", "under_way", "sent", "ended"]
MoveRefusal = Literal["cancelled"]


class MovedDelivery(Record):
    """moved: it goes out at `due_at`. under_way: an attempt runs. sent, ended: it was too late for this one."""

    delivery_id: str
    recipient: str
    channel: str
    answer: MoveAnswer
    due_at: UtcDatetime | None = None


class Rescheduling(Record):
    """`deliveries` is None until it has been carried out, and empty when nothing has been planned yet.

    Those of an audience are not listed: its walks move them, and count.
    """

    change_id: str
    send_at: SendAt
    refused: MoveRefusal | None = None
    has_audience: bool = False
    deliveries: tuple[MovedDelivery, ...] | None = None


def move_answer(row: Delivery, wanted: Delivery) -> MovedDelivery:
    """What the row says after it was asked to rest until its new time."""
    is_moved = row.held and (row.turn, row.next_at) == (wanted.turn, wanted.next_at)
    waiting: MoveAnswer = "under_way" if row.state in ("IN_FLIGHT", "RETRY", "PENDING") else "ended"
    answer: MoveAnswer = "moved" if is_moved else "sent" if row.state == "SENT" else waiting
    return moved_delivery(row, answer)


def moved_delivery(ids: Delivery | DeliveryRecord, answer: MoveAnswer) -> MovedDelivery:
    return MovedDelivery(
        delivery_id=ids.delivery_id,
        recipient=ids.recipient,
        channel=ids.channel,
        answer=answer,
        due_at=ids.next_at if isinstance(ids, Delivery) and answer == "moved" else None,
    )
