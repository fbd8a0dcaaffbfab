"""When silence is a stall: records are there, nobody holds them back, and the position does not move."""

from collections.abc import Collection, Mapping

from infrastructure.kafka.consuming.port import Partition


class StallWatch:
    """Counts from the moment a partition was first seen behind, so a quiet one may receive a record after an hour."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._behind: dict[Partition, tuple[int | None, float]] = {}

    def look(
        self,
        at: float,
        positions: Mapping[Partition, int | None],
        ends: Mapping[Partition, int],
        held_back: Collection[Partition],
    ) -> list[Partition]:
        """The partitions that have stood still too long; those we paused ourselves do not count."""
        waiting = {
            tp: position
            for tp, position in positions.items()
            if tp not in held_back and tp in ends and (position is None or position < ends[tp])
        }
        known = self._behind
        self._behind = {
            tp: known[tp] if tp in known and known[tp][0] == position else (position, at) for tp, position in waiting.items()
        }
        return sorted(tp for tp, (_, since) in self._behind.items() if at - since >= self._patience_s)
