"""How often a person may be reached: at most so many in any window. Pure; what was counted and the time are handed in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Record, UtcDatetime, Value
from schemas.durations import Duration


class Cap(Value):
    """At most `max` notifications per person in any `window`; the next one is dropped, and says so, or is gathered."""

    max: Annotated[int, Field(ge=1, le=1000)]
    window: Duration
    over: Literal["drop", "digest"] = "drop"


class Counted(Record):
    """One notification that counts towards a person's caps."""

    notification_id: str
    at: UtcDatetime


def counted_with(
    counted: Sequence[Counted], caps: Sequence[Cap], notification_id: str, now: datetime
) -> tuple[Counted, ...] | None:
    """What is counted afterwards, without what no window reaches any more; None when a cap is full.

    A notification that was counted before is not counted again, however often it is planned.
    """
    longest = max(cap.window for cap in caps)
    recent = tuple(each for each in counted if now - each.at < longest)
    if any(each.notification_id == notification_id for each in recent):
        return recent
    for cap in caps:
        if sum(now - each.at < cap.window for each in recent) >= cap.max:
            return None
    return (*recent, Counted(notification_id=notification_id, at=now))
