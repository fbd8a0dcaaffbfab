"""How often a person may be reached: at most so many in any window. Pure; what was counted and the time are handed in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Record, UtcDatetime, Value
from schemas.durations import Duration, as_text

CAPPED = "capped"
ACROSS_TYPES = "person"
"""The scope of what a deployment lets one person get of all types together; no type can take its place in the store."""


class Cap(Value):
    """At most `max` notifications per person in any `window`. The next one is dropped, rests until the window lets it
    through, or is gathered into a digest; it says so."""

    max: Annotated[int, Field(ge=1, le=1000)]
    window: Duration
    over: Literal["drop", "hold", "digest"] = "drop"


class Counted(Record):
    """One notification that counts towards a person's caps."""

    notification_id: str
    at: UtcDatetime


@dataclass(frozen=True)
class Scope:
    """What is counted together: one type's notifications to a person, or all of them. `key` names it in the store."""

    key: str
    name: str
    caps: tuple[Cap, ...]

    @property
    def longest(self) -> float:
        return max(cap.window.total_seconds() for cap in self.caps)


@dataclass(frozen=True)
class Full:
    """A cap that lets no more through, and until when."""

    scope: str
    cap: Cap
    until: datetime

    @property
    def reason(self) -> str:
        """As ledger and plan say it: `capped:order.shipped:3/1h`."""
        return f"{CAPPED}:{self.scope}:{self.cap.max}/{as_text(self.cap.window)}"


def scopes(kind: str, of_type: Iterable[Cap], across_types: Iterable[Cap]) -> tuple[Scope, ...]:
    """The scopes in which a notification of this type counts; a cap holds for every version of its type."""
    found = (Scope(kind, kind, tuple(of_type)), Scope(f"#{ACROSS_TYPES}", ACROSS_TYPES, tuple(across_types)))
    return tuple(scope for scope in found if scope.caps)


def counted_with(
    counted: Sequence[Counted], scope: Scope, notification_id: str, now: datetime
) -> tuple[Counted, ...] | Full:
    """What is counted afterwards, without what no window reaches any more; or the cap that is full.

    A notification that was counted before is not counted again, however often it is planned.
    """
    recent = tuple(each for each in counted if (now - each.at).total_seconds() < scope.longest)
    if any(each.notification_id == notification_id for each in recent):
        return recent
    full = [found for cap in scope.caps if (found := _full(recent, scope, cap, now)) is not None]
    return strictest(full) or (*recent, Counted(notification_id=notification_id, at=now))


def strictest(full: Sequence[Full]) -> Full | None:
    """The one that decides: one that drops before one that holds, then the one that holds longest."""
    return max(full, key=lambda each: (each.cap.over == "drop", each.until), default=None)


def _full(recent: Sequence[Counted], scope: Scope, cap: Cap, now: datetime) -> Full | None:
    """It lets the next one through when the oldest of its last `max` has left the window."""
    inside = sorted(each.at for each in recent if now - each.at < cap.window)
    return Full(scope.name, cap, inside[-cap.max] + cap.window) if len(inside) >= cap.max else None
