"""Which offset may be committed, under any order of completion, loss and rebalance."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infrastructure.kafka.consuming.watermark import OffsetsWentBack, Watermark


def a_watermark(*offsets: int) -> Watermark:
    mark = Watermark(epoch=1)
    for offset in offsets:
        mark.begin(offset)
    return mark


def test_only_an_unbroken_prefix_counts() -> None:
    mark = a_watermark(5, 6, 7)
    mark.finish(6)
    assert mark.committable is None
    mark.finish(5)
    assert mark.committable == 7
    assert mark.in_flight == 1


def test_what_was_committed_is_not_committed_again() -> None:
    mark = a_watermark(5)
    mark.finish(5)
    mark.committed(6)
    assert mark.committable is None


def test_offsets_that_are_missing_are_told_once() -> None:
    mark = a_watermark(5)
    assert mark.begin(9) == range(6, 9)
    assert mark.begin(10) == range(0)


def test_a_gap_before_the_first_record_is_told_whoever_comes_first() -> None:
    early = Watermark(epoch=1)
    assert early.resume_at(3) == range(0)
    assert early.begin(5) == range(3, 5)

    late = a_watermark(5)
    assert late.resume_at(3) == range(3, 5)

    done = a_watermark(5, 6)
    done.finish(5)
    assert done.resume_at(3) == range(3, 5)


def test_a_log_that_lost_its_end_is_read_again_from_where_it_begins() -> None:
    mark = Watermark(epoch=1)
    mark.resume_at(20)
    assert not mark.begin(0)
    mark.finish(0)
    assert mark.committable == 1


def test_an_offset_that_comes_twice_is_a_bug_of_ours() -> None:
    with pytest.raises(OffsetsWentBack, match="arrives after"):
        a_watermark(5, 6).begin(6)


class PartitionOverTime(RuleBasedStateMachine):
    """One partition as Kafka shows it: records with holes, completions in any order, rebalances, commits that fail."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        self.group_at: int | None = None
        self.lost: set[int] = set()
        self.told: set[int] = set()
        self.stale: list[tuple[int, int]] = []

    @initialize(start=st.integers(0, 50))
    def first_assignment(self, start: int) -> None:
        self.position = start
        self.assign()

    def assign(self) -> None:
        self.epoch += 1
        self.mark = Watermark(self.epoch)
        self.begun: list[int] = []
        self.done: set[int] = set()
        self.compared = False
        self.committed_here: list[int] = []
        self.position = self.group_at if self.group_at is not None else self.position

    @rule(hole=st.integers(0, 3))
    def deliver(self, hole: int) -> None:
        gone = range(self.position, self.position + hole)
        told = self.mark.begin(self.position + hole)
        if self.begun or (self.compared and self.group_at is not None):
            assert told == gone or (not told and not gone), "a hole is told when it is met"
            self.told |= set(told)
            self.lost |= set(gone)
        else:
            assert not told, "before anything is known nothing is missing"
        self.begun.append(self.position + hole)
        self.position += hole + 1

    @precondition(lambda self: not self.compared)
    @rule()
    def compare_with_the_group(self) -> None:
        self.compared = True
        if self.group_at is not None and not self.committed_here:
            told = self.mark.resume_at(self.group_at)
            expected = range(self.group_at, self.begun[0]) if self.begun else range(0)
            assert list(told) == list(expected)

    @precondition(lambda self: len(self.begun) > len(self.done))
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from([each for each in self.begun if each not in self.done]))
        self.mark.finish(offset)
        self.done.add(offset)

    @rule(acknowledged=st.booleans())
    def commit(self, acknowledged: bool) -> None:
        ahead = self.mark.committable
        if ahead is None:
            return
        if acknowledged:
            self.mark.committed(ahead)
            self.committed_here.append(ahead)
            self.group_at = ahead

    @rule()
    def rebalance(self) -> None:
        self.stale = [(self.epoch, offset) for offset in self.begun if offset not in self.done]
        self.assign()

    @precondition(lambda self: bool(self.stale))
    @rule()
    def complete_late(self) -> None:
        """What the consumer does with work of an earlier epoch: nothing."""
        epoch, _ = self.stale.pop()
        assert epoch != self.mark.epoch

    @invariant()
    def nothing_unfinished_is_committable(self) -> None:
        if not hasattr(self, "mark") or self.mark.committable is None:
            return
        ahead = self.mark.committable
        assert all(offset in self.done for offset in self.begun if offset < ahead)
        assert ahead - 1 in self.done

    @invariant()
    def commits_only_move_forward_within_an_epoch(self) -> None:
        if hasattr(self, "committed_here"):
            assert self.committed_here == sorted(set(self.committed_here))

    @invariant()
    def every_hole_was_told(self) -> None:
        assert self.lost == self.told

    @invariant()
    def in_flight_is_what_was_begun_and_not_finished(self) -> None:
        if hasattr(self, "mark"):
            assert self.mark.in_flight == len(self.begun) - len(self.done)


TestPartitionOverTime = PartitionOverTime.TestCase
TestPartitionOverTime.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
