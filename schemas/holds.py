"""Deliveries that rest until their time comes: why, and what an operator's release makes of one. Pure."""

from datetime import datetime

from schemas.deliveries import RELEASED, Delivery, Step


def released(row: Delivery, by: str, now: datetime) -> Delivery:
    """It goes out at its next turn, whatever held it; the timer that held it finds a turn that has passed."""
    fresh = {
        "state": "PENDING",
        "turn": row.turn + 1,
        "released": True,
        "reason": None,
        "next_at": None,
        "updated_at": now,
    }
    step = Step(event=RELEASED, at=now, attempt=row.attempt, reason=row.reason, by=by)
    return row.model_copy(update=fresh | {"history": (*row.history, step)})
