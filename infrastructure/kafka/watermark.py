"""Which offset may be committed: the contiguous prefix of what is done. Pure bookkeeping of one partition and epoch."""

from collections import deque


class OffsetsWentBack(RuntimeError):
    """The log is being read again from an earlier place: a new assignment has to take over."""


class Watermark:
    """Offsets arrive in order and finish in any order; only an unbroken prefix counts."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._under_way: deque[int] = deque()
        self._done: set[int] = set()
        self._next: int | None = None
        self._committed: int | None = None
        self._expected: int | None = None
        self._first: int | None = None

    def begin(self, offset: int) -> range:
        """Takes an offset in; the range that is missing before it is not empty when the log lost records."""
        missing = range(0) if self._expected is None else range(self._expected, offset)
        if self._first is None:
            self._first = offset  # may lie before what was committed: a log that lost its end is read again from its start
        elif self._expected is not None and offset < self._expected:
            raise OffsetsWentBack(f"offset {offset} arrives after {self._expected - 1}")
        self._expected = offset + 1
        self._under_way.append(offset)
        return missing

    def resume_at(self, committed: int) -> range:
        """Tells where the group stopped; what lies between that and the first record read is missing."""
        self._committed = committed
        if self._first is None:
            self._expected = committed
            return range(0)
        return range(committed, self._first)

    def finish(self, offset: int) -> None:
        self._done.add(offset)
        while self._under_way and self._under_way[0] in self._done:
            last = self._under_way.popleft()
            self._done.discard(last)
            self._next = last + 1

    @property
    def in_flight(self) -> int:
        return len(self._under_way) - len(self._done)

    @property
    def committable(self) -> int | None:
        """The next offset to read, if it is further than what was committed."""
        return self._next if self._next != self._committed else None

    def committed(self, offset: int) -> None:
        self._committed = offset
