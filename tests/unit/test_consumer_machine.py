"""The books of two members of one group, under whatever a group can do to them.

The real `Assignments` and watermarks; around them a broker of one group that takes what it is sent under the generation it
was made for, loses answers, delivers late, rebalances, crashes members, and deletes the beginning of the log.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infrastructure.kafka.consuming.assignments import Assignments, Commit
from infrastructure.kafka.consuming.port import Partition, Tenure

A, B = Partition("orders", 0), Partition("orders", 1)
PARTITIONS = (A, B)
NAMES = ("one", "two")
Read = tuple[Partition, int]


@dataclass
class Seat:
    """One member: its books, and what the machine knows about the work it was given."""

    books: Assignments = field(default_factory=Assignments)
    position: dict[Partition, int] = field(default_factory=dict)
    begun: dict[tuple[Partition, int], int] = field(default_factory=dict)  # (partition, offset) -> epoch, unfinished
    committed: dict[Partition, list[int]] = field(default_factory=dict)  # of this epoch
    reading: set[Partition] = field(default_factory=set)  # partitions of which something was read in this epoch


class GroupOverTime(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.generation = self.work_since_rebalance = 0
        self.owners: dict[Partition, str] = {}
        self.seats = {name: Seat() for name in NAMES}
        self.starts = dict.fromkeys(PARTITIONS, 0)
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.done: set[Read] = set()  # settled by anybody, ever: the truth the commits are held against
        self.recorded: set[Read] = set()  # gaps that were recorded
        self.before_the_group: set[Read] = set()  # deleted before the group first committed: no gap
        self.group_at: dict[Partition, int] = {}
        self.late: list[tuple[str, Commit]] = []  # sent, not yet there
        self.answers: list[tuple[str, Commit]] = []  # on their way back
        self.zombies: list[tuple[str, Partition, int, int]] = []  # work of earlier epochs that may still end

    # -- the group

    @initialize()
    def begin(self) -> None:
        self._assign({A: "one", B: "two"})

    def _assign(self, owners: dict[Partition, str]) -> None:
        self.generation += 1
        self.work_since_rebalance = 0
        self.owners = owners
        for name, seat in self.seats.items():
            self.zombies += [(name, tp, epoch, offset) for (tp, offset), epoch in seat.begun.items()]
            mine = frozenset(tp for tp, owner in owners.items() if owner == name)
            seat.books.assign(Tenure(self.generation, mine))
            seat.begun, seat.committed, seat.reading = {}, {tp: [] for tp in mine}, set()
            seat.position = {tp: self._first(tp) for tp in mine}

    def _first(self, tp: Partition) -> int:
        return max(self.group_at.get(tp, 0), self.starts[tp])

    @precondition(lambda self: self.work_since_rebalance >= 5)
    @rule(drained=st.booleans(), data=st.data())
    def rebalance(self, drained: bool, data: st.DataObject) -> None:
        """To the same owners or to others; drained in time, or given up."""
        for name, seat in self.seats.items():
            seat.books.close()
            assert all(seat.books.take(tp, seat.position[tp], 0.0) is None for tp in seat.position), (
                "nothing more is taken in"
            )
            if drained:
                for tp, offset in sorted(seat.begun):
                    self._finish(name, tp, offset)
                self._settle_books(name)
            seat.books.forget()
            assert (seat.books.commit_to_make(), seat.books.in_flight()) == (None, {}), (
                "what was taken away is no business of ours"
            )
        self._assign({tp: data.draw(st.sampled_from(NAMES)) for tp in PARTITIONS})

    @precondition(lambda self: self.work_since_rebalance >= 5)
    @rule(name=st.sampled_from(NAMES))
    def crash(self, name: str) -> None:
        """kill -9: the books are gone, the group goes on with the other member."""
        self.seats[name] = Seat()
        self.zombies = [zombie for zombie in self.zombies if zombie[0] != name]
        other = next(each for each in NAMES if each != name)
        self.seats[other].books.close()
        self.seats[other].books.forget()
        self._assign(dict.fromkeys(PARTITIONS, other))

    # -- the log

    @rule(tp=st.sampled_from(PARTITIONS), unread=st.integers(0, 3), kept=st.integers(0, 5))
    def retention(self, tp: Partition, unread: int, kept: int) -> None:
        """Deletes all but the last few, read or not, committed or not."""
        self.ends[tp] += unread
        self.starts[tp] = max(self.starts[tp], self.ends[tp] - kept)

    # -- work

    @rule(tp=st.sampled_from(PARTITIONS), count=st.integers(1, 4))
    def deliver(self, tp: Partition, count: int) -> None:
        seat = self.seats[self.owners[tp]]
        self.work_since_rebalance += 1
        for _ in range(count):
            offset = max(seat.position[tp], self.starts[tp])
            self.ends[tp] = max(self.ends[tp], offset + 1)
            if tp not in seat.reading and tp not in self.group_at:
                self.before_the_group |= {(tp, each) for each in range(offset)}
            epoch = seat.books.take(tp, offset, 0.0)
            assert epoch == seat.books.epoch
            seat.reading.add(tp)
            seat.begun[tp, offset] = epoch
            seat.position[tp] = offset + 1

    @precondition(lambda self: any(seat.begun for seat in self.seats.values()))
    @rule(in_order=st.booleans(), data=st.data())
    def complete(self, in_order: bool, data: st.DataObject) -> None:
        """Everything that is in hand, or one of it whatever its place; what is never drawn is held."""
        self.work_since_rebalance += 1
        work = [(name, *read) for name, seat in self.seats.items() for read in sorted(seat.begun)]
        for each in work if in_order else [data.draw(st.sampled_from(work))]:
            self._finish(*each)

    def _finish(self, name: str, tp: Partition, offset: int) -> None:
        seat = self.seats[name]
        seat.books.finish(tp, seat.begun.pop((tp, offset)), offset)
        self.done.add((tp, offset))

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def complete_for_an_earlier_assignment(self, data: st.DataObject) -> None:
        """Its record comes again to whoever holds the partition now; the books of now must not hear of it."""
        name, tp, epoch, offset = data.draw(st.sampled_from(self.zombies))
        self.zombies.remove((name, tp, epoch, offset))
        before = self.seats[name].books.commit_to_make()
        self.seats[name].books.finish(tp, epoch, offset)
        assert self.seats[name].books.commit_to_make() == before

    # -- the books

    @rule(name=st.sampled_from(NAMES))
    def settle_books(self, name: str) -> None:
        """What a member does twice a second; the rules after it are its steps, cut off in between."""
        self._settle_books(name)

    def _settle_books(self, name: str) -> None:
        self._compare(name)
        self._explain(self.seats[name])
        self._send(name)

    @rule(name=st.sampled_from(NAMES))
    def compare(self, name: str) -> None:
        self._compare(name)

    def _compare(self, name: str) -> None:
        books = self.seats[name].books
        if books.to_compare is not None:
            committed = {tp: self.group_at.get(tp) for tp in books.held}
            books.compare(books.to_compare, committed, dict(self.starts))

    def _explain(self, seat: Seat) -> None:
        for suspect in seat.books.suspects:
            lost = range(suspect.missing.start, min(suspect.missing.stop, self.starts[suspect.partition]))
            self.recorded |= {(suspect.partition, offset) for offset in lost}
            seat.books.explained(suspect)

    @rule(name=st.sampled_from(NAMES))
    def commit(self, name: str) -> None:
        self._send(name)

    @rule(name=st.sampled_from(NAMES))
    def commit_and_lose_the_answer(self, name: str) -> None:
        self._send(name, answered=False)

    @rule(name=st.sampled_from(NAMES))
    def commit_and_hear_of_it_late(self, name: str) -> None:
        commit = self._sent_in_order(name)
        if commit is not None and self._arrives(name, commit):
            self.answers.append((name, commit))

    @precondition(lambda self: self.answers)
    @rule()
    def a_late_answer_arrives(self) -> None:
        name, commit = self.answers.pop(0)
        self.seats[name].books.committed(commit)

    @rule(name=st.sampled_from(NAMES))
    def commit_late(self, name: str) -> None:
        commit = self.seats[name].books.commit_to_make()
        if commit is not None:
            self.late.append((name, commit))

    @precondition(lambda self: self.late)
    @rule()
    def a_late_commit_arrives(self) -> None:
        """In the order they were sent, as one connection has it; perhaps after a rebalance."""
        name, commit = self.late.pop(0)
        if self._arrives(name, commit):
            self.seats[name].books.committed(commit)

    def _send(self, name: str, *, answered: bool = True) -> None:
        commit = self._sent_in_order(name)
        if commit is not None and self._arrives(name, commit) and answered:
            self.seats[name].books.committed(commit)

    def _sent_in_order(self, name: str) -> Commit | None:
        """One connection has one order: what was sent before is there first."""
        while self.late:
            self.a_late_commit_arrives()
        return self.seats[name].books.commit_to_make()

    def _arrives(self, name: str, commit: Commit) -> bool:
        """The broker looks at the generation, and at nothing else."""
        if commit.generation != self.generation:
            return False
        for tp, offset in commit.offsets.items():
            assert self.owners.get(tp) == name, "a commit for an assignment that is somebody else's"
            made = self.seats[name].committed[tp]
            assert not made or offset >= made[-1], "within one assignment commits never go back"
            made.append(offset)
            self.group_at[tp] = offset
        return True

    # -- what always holds

    @invariant()
    def nothing_is_committed_that_is_not_settled_or_recorded_as_lost(self) -> None:
        for tp, offset in self.group_at.items():
            open_ones = {(tp, each) for each in range(offset)} - self.done - self.recorded - self.before_the_group
            assert not open_ones, f"committed {offset}"

    @invariant()
    def what_is_recorded_as_lost_is_lost(self) -> None:
        assert self.recorded <= {(tp, offset) for tp in PARTITIONS for offset in range(self.starts[tp])}

    @invariant()
    def in_flight_is_what_was_taken_in_and_not_finished(self) -> None:
        for seat in self.seats.values():
            counted = dict.fromkeys(seat.books.held, 0)
            for tp, _ in seat.begun:
                counted[tp] += 1
            assert seat.books.in_flight() == counted

    @invariant()
    def a_commit_to_make_is_of_the_present_assignment(self) -> None:
        for seat in self.seats.values():
            commit = seat.books.commit_to_make()
            if commit is not None:
                assert (commit.epoch, commit.generation) == (seat.books.epoch, self.generation)
                assert commit.offsets.keys() <= seat.books.held


TestGroupOverTime = GroupOverTime.TestCase
TestGroupOverTime.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
