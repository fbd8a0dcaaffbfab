"""Each priority has its own budget of work under way, and urgent's is never lent: a bulk backlog delays no one-time code."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, Protocol

from aiokafka import TopicPartition

from infrastructure.kafka.lanes import Lanes, Work
from schemas.topics import PRIORITIES, Priority, priority_of

WAITING_PER_PLACE = 8


class Pausable(Protocol):
    """The part of a Kafka client that holds partitions back without leaving the group."""

    def pause(self, *partitions: TopicPartition) -> None: ...
    def resume(self, *partitions: TopicPartition) -> None: ...


class Budgets(Generic[Work]):
    """Lanes per priority. Above its high water a priority's partitions pause; below half of it they go on."""

    def __init__(self, step: Callable[[Work], Awaitable[None]], concurrency: int) -> None:
        self._lanes = {priority: Lanes(step, concurrency) for priority in PRIORITIES}
        self._high_water = concurrency * WAITING_PER_PLACE
        self._paused: set[Priority] = set()

    def add(self, partition: TopicPartition, key: Hashable, work: Work) -> None:
        self._lanes[priority_of(partition.topic)].add((partition, key), work)

    def balance(self, client: Pausable, in_flight: Mapping[TopicPartition, int]) -> None:
        """Back-pressure by pausing: the poll goes on, so the group does not think us dead."""
        for priority in PRIORITIES:
            own = [tp for tp in in_flight if priority_of(tp.topic) == priority]
            waiting = sum(in_flight[tp] for tp in own)
            if priority not in self._paused and waiting > self._high_water:
                client.pause(*own)
                self._paused.add(priority)
            elif priority in self._paused and waiting < self._high_water // 2:
                client.resume(*own)
                self._paused.discard(priority)

    def reassigned(self) -> None:
        """New partitions come unpaused."""
        self._paused.clear()

    async def drained(self, timeout_s: float) -> bool:
        return all(await asyncio.gather(*(lanes.drained(timeout_s) for lanes in self._lanes.values())))

    async def abandon(self) -> None:
        await asyncio.gather(*(lanes.abandon() for lanes in self._lanes.values()))
