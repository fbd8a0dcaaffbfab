"""Deliveries that a person looks after: which of them to show, and what a person makes of one. Pure; time is an argument."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schemas.base import iso
from schemas.deliveries import EVENT_OF, Delivery, Step

Trouble = Literal["FAILED", "UNKNOWN", "PENDING"]
"""PENDING is what was redriven or released and has not been taken up yet."""
Listed = Literal[Trouble, "HELD"]
"""HELD is in no trouble: it rests until its time comes."""
Settlement = Literal["SENT", "FAILED"]

BY_HAND = "settled_by_hand"
SETTLED, DISCARDED = "settled", "discarded"


@dataclass(frozen=True)
class Look:
    """Which rows in trouble to show: `reason` is a prefix, both times count as inside."""

    state: Listed = "FAILED"
    channel: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = True

    def shows(self, row: Delivery) -> bool:
        """Whether it passes the filters; the times are the index's business."""
        return self.channel in (None, row.channel) and (row.reason or "").startswith(self.reason or "")


def listed_as(row: Delivery) -> Listed | None:
    """Under which word operators find the row, if at all."""
    match row.state:
        case "FAILED" | "UNKNOWN" | "PENDING":
            return row.state
        case _:
            return "HELD" if row.held else None


def place(row: Delivery) -> str:
    """Where a row in trouble stands among the others: by time, then by id."""
    return f"{iso(row.updated_at)}#{row.delivery_id}"


def redriven(row: Delivery, by: str, now: datetime) -> Delivery:
    """As good as new. Somebody who redrives an UNKNOWN one takes the doubt upon themselves: it will be sent."""
    fresh: dict[str, object] = {"state": "PENDING", "turn": row.turn + 1, "attempt": 0, "reason": None, "updated_at": now}
    if row.state == "UNKNOWN":
        fresh["doubtful"] = False
    return _with(row.model_copy(update=fresh), EVENT_OF["PENDING"], by, "")


def settled(row: Delivery, state: Settlement, by: str, note: str, now: datetime) -> Delivery:
    """What a person found out. The claim token stays: a worker that comes late finds it settled and only says so."""
    known = {"state": state, "reason": BY_HAND, "doubtful": False, "next_at": None, "updated_at": now}
    return _with(row.model_copy(update=known), SETTLED, by, note)


def discarded(row: Delivery, by: str, note: str, now: datetime) -> Step:
    return Step(event=DISCARDED, at=now, attempt=row.attempt, by=by, note=note or None)


def _with(row: Delivery, event: str, by: str, note: str) -> Delivery:
    step = Step(event=event, at=row.updated_at, attempt=row.attempt, reason=row.reason, by=by, note=note or None)
    return row.model_copy(update={"history": (*row.history, step)})


def last_by_hand(row: Delivery) -> Step | None:
    """The last thing a person did to it."""
    return next((step for step in reversed(row.history) if step.by), None)
