"""The books of one member: what it holds, what is under way, and what may be committed for which assignment. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from infrastructure.kafka.consuming.port import Partition, Tenure
from infrastructure.kafka.consuming.watermark import Watermark


class NotHeld(RuntimeError):
    """The client gave out a record of a partition it never announced: going on would skip it, so the client is replaced."""


@dataclass(frozen=True)
class Commit:
    """Offsets with the assignment they belong to; they count for no other."""

    epoch: int
    generation: int
    offsets: Mapping[Partition, int]


@dataclass(frozen=True)
class Suspect:
    """Offsets without records: lost by retention, or only the markers of somebody's transactions."""

    epoch: int
    partition: Partition
    missing: range


class Assignments:
    """Every assignment gets an epoch of its own; what was taken in under one can neither finish nor commit under another.

    A partition is committed once its start was compared with what the group had committed, and only while no hole in it is
    unexplained: a gap is recorded before an offset behind it is committed, or it could be recorded never.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._generation = -1
        self._marks: dict[Partition, Watermark] = {}
        self._suspects: list[Suspect] = []
        self._open = False
        self._compared = False

    def assign(self, tenure: Tenure) -> None:
        self.epoch += 1
        self._generation = tenure.generation
        self._marks = {tp: Watermark(self.epoch) for tp in tenure.partitions}
        self._suspects = []
        self._open, self._compared = True, not self._marks

    def close(self) -> None:
        """The partitions are being taken away: what is under way may finish and commit, nothing more is taken in."""
        self._open = False

    def forget(self) -> None:
        """They are gone, and with them every claim to commit for them."""
        self.close()
        self._marks, self._suspects = {}, []

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def held(self) -> frozenset[Partition]:
        return frozenset(self._marks)

    def take(self, partition: Partition, offset: int, at: float) -> int | None:
        """The epoch the record is worked on under; None when it is left to whoever holds the partition next."""
        if not self._open:
            return None
        mark = self._marks.get(partition)
        if mark is None:
            raise NotHeld(f"{partition.topic}/{partition.number}@{offset}")
        self._suspect(partition, mark.begin(offset, at))
        return mark.epoch

    def finish(self, partition: Partition, epoch: int, offset: int) -> None:
        mark = self._marks.get(partition)
        if mark is not None and mark.epoch == epoch:
            mark.finish(offset)

    @property
    def to_compare(self) -> int | None:
        """The epoch whose partitions have still to be compared with what the group had committed."""
        return None if self._compared else self.epoch

    def compare(self, epoch: int, committed: Mapping[Partition, int | None], starts: Mapping[Partition, int]) -> None:
        """A group without a committed offset starts at the log start, and that is no gap; anything missing later is."""
        if epoch != self.epoch or self._compared:
            return
        for tp, mark in self._marks.items():
            before = committed.get(tp)
            if before is not None:
                self._suspect(tp, mark.resume_at(before, starts.get(tp, 0)))
        self._compared = True

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        return tuple(self._suspects)

    def explained(self, suspect: Suspect) -> None:
        """Recorded if something was lost; from here on it holds up no commit."""
        if suspect in self._suspects:
            self._suspects.remove(suspect)

    def commit_to_make(self) -> Commit | None:
        """The contiguous prefix of every partition that got further, for the present assignment and no other."""
        if not self._compared:
            return None
        unexplained = {suspect.partition for suspect in self._suspects}
        offsets = {
            tp: offset
            for tp, mark in self._marks.items()
            if tp not in unexplained and (offset := mark.committable) is not None
        }
        return Commit(self.epoch, self._generation, offsets) if offsets else None

    def committed(self, commit: Commit) -> None:
        for tp, offset in commit.offsets.items():
            mark = self._marks.get(tp)
            if mark is not None and mark.epoch == commit.epoch:
                mark.committed(offset)

    def in_flight(self) -> dict[Partition, int]:
        return {tp: mark.in_flight for tp, mark in self._marks.items()}

    def committed_at(self) -> dict[Partition, int | None]:
        return {tp: mark.committed_at for tp, mark in self._marks.items()}

    @property
    def oldest_at(self) -> float | None:
        return min((mark.oldest_at for mark in self._marks.values() if mark.oldest_at is not None), default=None)

    def _suspect(self, partition: Partition, missing: range) -> None:
        if missing:
            self._suspects.append(Suspect(self.epoch, partition, missing))
