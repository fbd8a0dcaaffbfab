"""A Kafka cluster in memory, as far as the wrapper's port sees it: logs, groups, rebalances that revoke everything."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from infrastructure.kafka.consuming.port import ClientFailed, CommitRefused, Listener, Partition, Tenure
from infrastructure.ports import Received
from infrastructure.settings import Settings

MAX_RECORDS = 500


class FakeGroup:
    """Who is in it, what it committed. Every rebalance takes everything from everybody and begins a generation."""

    def __init__(self) -> None:
        self.generation = 0
        self.committed: dict[Partition, int] = {}
        self.commits: list[tuple[int, dict[Partition, int]]] = []
        self.members: list[FakeClient] = []
        self._rebalancing = asyncio.Lock()

    async def rebalance(self, *, joining: "FakeClient | None" = None) -> None:
        async with self._rebalancing:
            await asyncio.gather(*(member.revoke() for member in self.members))
            if joining is not None:
                self.members.append(joining)
            self.generation += 1
            for place, member in enumerate(self.members):
                await member.assign(self.generation, member.partitions()[place :: len(self.members)])


class FakeBroker:
    def __init__(self, topics: Mapping[str, int]) -> None:
        self.logs: dict[Partition, dict[int, Received]] = {
            Partition(topic, number): {} for topic, count in topics.items() for number in range(count)
        }
        self.starts: dict[Partition, int] = dict.fromkeys(self.logs, 0)
        self.ends: dict[Partition, int] = dict.fromkeys(self.logs, 0)
        self.groups: dict[str, FakeGroup] = defaultdict(FakeGroup)
        self.clients: list[FakeClient] = []
        self.is_away = False
        self._grew = asyncio.Condition()

    def open(self, _: Settings, group: str, topics: Iterable[str]) -> "FakeClient":
        """What `GroupConsumer` calls for a client."""
        client = FakeClient(self, self.groups[group], tuple(topics))
        self.clients.append(client)
        return client

    async def produce(
        self, topic: str, *, key: bytes | None = None, number: int = 0, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> int:
        partition = Partition(topic, number)
        offset = self.ends[partition]
        self.logs[partition][offset] = Received(topic, number, offset, 0, key, b"%d" % offset, headers)
        self.ends[partition] = offset + 1
        async with self._grew:
            self._grew.notify_all()
        return offset

    def skip(self, partition: Partition, offsets: int = 1) -> None:
        """Offsets without records, as the markers of a transaction leave them."""
        self.ends[partition] += offsets

    async def truncate(self, partition: Partition, start: int) -> None:
        """What retention does."""
        self.starts[partition] = max(self.starts[partition], start)
        self.ends[partition] = max(self.ends[partition], start)
        self.logs[partition] = {offset: record for offset, record in self.logs[partition].items() if offset >= start}

    async def grown(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s), self._grew:
                await self._grew.wait()
        except TimeoutError:
            return


class FakeClient:
    """`is_silent` fetches nothing any more, `fails` ends the next poll, `commits_hang` never answers, `lets_go` may end."""

    def __init__(self, broker: FakeBroker, group: FakeGroup, topics: tuple[str, ...]) -> None:
        self._broker, self._group, self._topics = broker, group, topics
        self._listener: Listener | None = None
        self._tenure: Tenure | None = None
        self._positions: dict[Partition, int] = {}
        self._announced = asyncio.Event()
        self.paused: set[Partition] = set()
        self.is_silent = self.has_left = self.commits_hang = self.answer_is_lost = self.never_stops = False
        self.fails: Exception | None = None
        self.commits_waiting = 0
        self._commits_go = asyncio.Event()
        self._commits_go.set()

    def hold_commits(self) -> asyncio.Event:
        """Commits are under way, without effect, until the event is set."""
        self._commits_go.clear()
        return self._commits_go

    def partitions(self) -> list[Partition]:
        return sorted(partition for partition in self._broker.logs if partition.topic in self._topics)

    async def start(self, listener: Listener) -> None:
        self._reach()
        self._listener = listener
        await self._group.rebalance(joining=self)

    async def poll(self, wait_s: float) -> Mapping[Partition, Sequence[Received]]:
        if self.fails is not None:
            raise self.fails
        await self._announced.wait()
        found = self._fetch()
        if not found:
            await self._broker.grown(wait_s)
            await self._announced.wait()
            found = self._fetch()
        return found

    def _fetch(self) -> dict[Partition, list[Received]]:
        found: dict[Partition, list[Received]] = {}
        if self.is_silent or self._broker.is_away:
            return found
        for tp in self._positions.keys() - self.paused:
            self._positions[tp] = max(self._positions[tp], self._broker.starts[tp])
            records = [self._broker.logs[tp][at] for at in sorted(self._broker.logs[tp]) if at >= self._positions[tp]]
            if records:
                found[tp] = records[:MAX_RECORDS]
                self._positions[tp] = found[tp][-1].offset + 1
            if len(records) <= MAX_RECORDS:
                self._positions[tp] = self._broker.ends[tp]
        return found

    def pause(self, partitions: Iterable[Partition]) -> None:
        self.paused |= set(partitions) & self._positions.keys()

    def resume(self, partitions: Iterable[Partition]) -> None:
        self.paused -= set(partitions)

    async def commit(self, generation: int, offsets: Mapping[Partition, int]) -> None:
        self._reach()
        if self.commits_hang:
            await asyncio.Event().wait()
        self.commits_waiting += 1
        await self._commits_go.wait()
        self.commits_waiting -= 1
        if self._tenure is None or not generation == self._tenure.generation == self._group.generation:
            raise CommitRefused(f"generation {generation} is over, it is {self._group.generation}")
        self._group.committed.update(offsets)
        self._group.commits.append((generation, dict(offsets)))
        if self.answer_is_lost:
            self.answer_is_lost = False
            raise ClientFailed("the answer is lost")

    async def committed(self, partitions: Iterable[Partition]) -> Mapping[Partition, int | None]:
        self._reach()
        return {tp: self._group.committed.get(tp) for tp in partitions}

    async def log_starts(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        self._reach()
        return {tp: self._broker.starts[tp] for tp in partitions}

    async def log_ends(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        self._reach()
        return {tp: self._broker.ends[tp] for tp in partitions}

    def positions(self) -> Mapping[Partition, int | None]:
        return dict(self._positions)

    @property
    def joined(self) -> bool:
        return self._tenure is not None and not self.has_left

    async def stop(self) -> None:
        if self in self._group.members:
            self._group.members.remove(self)
            self._tenure = None
            await self._group.rebalance()
        if self.never_stops:
            await _for_ever()

    async def revoke(self) -> None:
        self._announced.clear()
        if self._listener is not None:
            await self._listener.revoked()
        self._tenure, self._positions = None, {}

    async def assign(self, generation: int, partitions: Sequence[Partition]) -> None:
        self._tenure = Tenure(generation, frozenset(partitions))
        self.paused = set()
        self._positions = {tp: self._first(tp) for tp in partitions}
        if self._listener is not None:
            await self._listener.assigned(self._tenure)
        self._announced.set()

    def _first(self, tp: Partition) -> int:
        start, end = self._broker.starts[tp], self._broker.ends[tp]
        committed = self._group.committed.get(tp, start)
        return committed if start <= committed <= end else start

    def _reach(self) -> None:
        if self._broker.is_away:
            raise ClientFailed("the fake is away")


async def _for_ever() -> None:
    """As aiokafka sometimes does: a cancellation does not end it (aio-libs/aiokafka#773). Only a second one does."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()
