"""Deliveries that rest until their time comes: why, and what an operator's release makes of one. Pure."""

from dataclasses import dataclass
from datetime import datetime

from schemas.base import iso
from schemas.deliveries import RELEASED, Delivery, Step


@dataclass(frozen=True)
class Hold:
    """Why a delivery does not go out now, and when to ask again."""

    reason: str
    until: datetime


def place_of_rest(row: Delivery) -> str:
    """Where it stands among what rests for one person: by the time it rests until, then by id."""
    return f"{iso(row.next_at or row.updated_at)}#{row.delivery_id}"


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
