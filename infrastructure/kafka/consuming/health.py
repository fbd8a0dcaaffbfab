"""How one member is doing, made of progress and not of reachability."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.topics import Priority

TURNS_WITHIN_S = 60.0


@dataclass(frozen=True)
class PartitionHealth:
    """Where the member reads, where the log ends as far as it was last seen, and what is committed."""

    position: int | None
    end: int | None
    committed: int | None


@dataclass(frozen=True)
class Health:
    """`held` says why records wait; they are in nobody's hands and make nobody look stuck."""

    group: str
    handler_stuck_s: float
    epoch: int = 0
    partitions: Mapping[str, PartitionHealth] = field(default_factory=dict)
    in_flight: int = 0
    oldest_in_flight_age_s: float = 0.0
    longest_call_s: float = 0.0
    last_progress_s: float = 0.0
    last_turn_s: float = 0.0
    held: Mapping[str, int] = field(default_factory=dict)
    paused: tuple[Priority, ...] = ()
    gate_closed_for_s: float = 0.0

    @property
    def assigned(self) -> int:
        return len(self.partitions)

    @property
    def alive(self) -> bool:
        """Its loop turns and no call of the handler hangs, whether or not a broker answers."""
        return self.last_turn_s < TURNS_WITHIN_S and self.longest_call_s < self.handler_stuck_s

    def as_json(self) -> dict[str, Any]:
        figures = {name: round(value, 1) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return figures | {"assigned": self.assigned, "alive": self.alive}
