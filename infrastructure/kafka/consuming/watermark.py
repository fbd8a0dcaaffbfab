"""Which offset may be committed: the contiguous prefix of what is done. Pure bookkeeping of one partition and epoch."""

from collections import deque


class OffsetsWentBack(RuntimeError):
    """The log is being read again from an earlier place: a new assignment has to take over."""


class Watermark:
    """Offsets arrive in order and finish in any order; only an unbroken prefix counts."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._under_way: deque[tuple[int, float]] = deque()
        self._done: set[int] = set()
        self._next: int | None = None
        self._committed: int | None = None
        self._expected: int | None = None
        self._first: int | None = None

    def begin(self, offset: int, at: float = 0.0) -> range:
        """Takes an offset in; the range that is missing before it is not empty when the log lost records."""
        missing = range(0) if self._expected is None else range(self._expected, offset)
        if self._first is None:
            self._first = offset  # may lie before what was committed: a log that lost its end is read again from its start
        elif self._expected is not None and offset < self._expected:
            raise OffsetsWentBack(f"offset {offset} arrives after {self._expected - 1}")
        self._expected = offset + 1
        self._under_way.append((offset, at))
        return missing

    def resume_at(self, committed: int, log_start: int = 0) -> range:
        """Tells where the group stopped; what lies between that and the log start or the first record is missing."""
        if self._committed is None:
            self._committed = committed
        if self._first is not None:
            return range(committed, self._first)
        self._expected = max(committed, log_start)
        return range(committed, self._expected)

    def finish(self, offset: int) -> None:
        self._done.add(offset)
        while self._under_way and self._under_way[0][0] in self._done:
            last, _ = self._under_way.popleft()
            self._done.discard(last)
            self._next = last + 1

    @property
    def in_flight(self) -> int:
        return len(self._under_way) - len(self._done)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest record that is not done was taken in: the one the prefix waits for."""
        return self._under_way[0][1] if self._under_way else None

    @property
    def committable(self) -> int | None:
        """The next offset to read, if it is further than what was committed."""
        return self._next if self._next != self._committed else None

    @property
    def committed_at(self) -> int | None:
        return self._committed

    def committed(self, offset: int) -> None:
        """An answer that comes late does not take back a later one."""
        if self._next is not None and (self._committed is None or self._committed > self._next or offset > self._committed):
            self._committed = offset
