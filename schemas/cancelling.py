"""What a cancellation found, delivery by delivery: the answer is exact, because each row was asked and moved at once."""

from typing import Literal

from schemas.base import Record, UtcDatetime
from schemas.deliveries import Delivery, State

Answer = Literal["stopped", "under_way", "sent", "recalled", "ended", "digested"]


class CancelledDelivery(Record):
    """stopped: nothing was sent and nothing will be. under_way: an attempt runs since `at`, none follows. sent: at `at`.

    recalled: taken back out of the inbox. ended: it had ended as `state` before. digested: it is in a digest that was closed
    before and goes out; when that one has been sent the answer is sent, at its time. `doubtful`: an attempt before the
    cancellation may have reached the provider without our hearing of it.
    """

    delivery_id: str
    recipient: str
    channel: str
    answer: Answer
    state: State
    at: UtcDatetime
    doubtful: bool = False


class Cancellation(Record):
    """`deliveries` is None until it has been carried out, and empty when it came before anything was planned."""

    cancelled_at: UtcDatetime
    deliveries: tuple[CancelledDelivery, ...] | None = None


_ANSWERS: dict[State, Answer] = {"CANCELLED": "stopped", "IN_FLIGHT": "under_way", "SENT": "sent", "DIGESTED": "digested"}


def answer_of(row: Delivery) -> CancelledDelivery:
    """What the row says after it was asked to stop."""
    return CancelledDelivery(
        delivery_id=row.delivery_id,
        recipient=row.recipient,
        channel=row.channel,
        answer=_ANSWERS.get(row.state, "ended"),
        state=row.state,
        at=row.updated_at,
        doubtful=row.doubtful,
    )
