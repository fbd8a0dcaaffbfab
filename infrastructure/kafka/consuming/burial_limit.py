"""When a worker must stop: its handler buries everything, so the fault is ours and not that of one producer's records."""

from collections import OrderedDict

_REMEMBERED = 1_000
_REMEMBERED_S = 3_600.0


class BurialLimit:
    """Counts, per producer, the burials since its last success. Reached when they add up and nobody gets through.

    A producer that has been silent for an hour is forgotten, with its streak or without: one success at breakfast must not
    keep a worker burying all night.
    """

    def __init__(self, most: int, *, remembered: int = _REMEMBERED, remembered_s: float = _REMEMBERED_S) -> None:
        self._most = most
        self._remembered = remembered
        self._remembered_s = remembered_s
        self._streaks: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def succeeded(self, producer: str, at: float) -> None:
        """Ends the streak of this producer."""
        self._note(producer, 0, at)

    def buried(self, producer: str, at: float) -> None:
        streak, _ = self._streaks.get(producer, (0, at))
        self._note(producer, streak + 1, at)

    def reached(self, at: float) -> bool:
        self._forget(at)
        streaks = [streak for streak, _ in self._streaks.values()]
        return sum(streaks) >= self._most and all(streaks)

    def _note(self, producer: str, streak: int, at: float) -> None:
        self._streaks[producer] = (streak, at)
        self._streaks.move_to_end(producer)
        self._forget(at)

    def _forget(self, at: float) -> None:
        """The longest silent ones stand first."""
        while self._streaks:
            producer, (_, seen) = next(iter(self._streaks.items()))
            if len(self._streaks) <= self._remembered and at - seen < self._remembered_s:
                return
            del self._streaks[producer]
