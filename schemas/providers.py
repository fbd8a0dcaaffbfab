"""How one worker sees one provider at a moment, and what several of them together say of it. Pure."""

from collections.abc import Iterable
from typing import Literal, get_args

from schemas.base import UtcDatetime, Value

ProviderState = Literal["in", "probing", "out"]
_STATES: tuple[ProviderState, ...] = get_args(ProviderState)


class ProviderSeen(Value):
    """in: it is called. out: left alone after failures in a row. probing: that time is over, and one call shall tell.

    `resting`: so many of its destinations asked for a pause.
    """

    provider: str
    state: ProviderState
    failures: int = 0
    out_for_s: float | None = None
    tried_again_in_s: float | None = None
    resting: int = 0


class Told(Value):
    """What a worker said of the providers of its channel."""

    channel: str
    worker: str
    at: UtcDatetime
    seen: tuple[ProviderSeen, ...]


def worst(states: Iterable[ProviderState]) -> ProviderState:
    """Each worker finds out by itself: if it is out for one, that is worth knowing."""
    return max(states, key=_STATES.index)
