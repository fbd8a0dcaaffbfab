"""Each priority has its own budget of work under way, and urgent's is never lent: a bulk backlog delays no one-time code."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic

from infrastructure.kafka.consuming.lanes import Lanes, Work
from infrastructure.kafka.consuming.port import Partition
from schemas.topics import PRIORITIES, Priority, priority_of

WAITING_PER_PLACE = 8


class Budgets(Generic[Work]):
    """Lanes per priority. One above its high water is crowded, until it is below half of it."""

    def __init__(self, step: Callable[[Work], Awaitable[None]], concurrency: int) -> None:
        self._lanes = {priority: Lanes(step, concurrency) for priority in PRIORITIES}
        self._high_water = concurrency * WAITING_PER_PLACE
        self._crowded: set[Priority] = set()

    def add(self, partition: Partition, key: Hashable, work: Work) -> None:
        self._lanes[priority_of(partition.topic)].add((partition, key), work)

    def crowded(self, in_flight: Mapping[Partition, int]) -> frozenset[Priority]:
        """The priorities whose partitions pause. The poll goes on, so the group does not think us dead."""
        waiting = dict.fromkeys(PRIORITIES, 0)
        for tp, records in in_flight.items():
            waiting[priority_of(tp.topic)] += records
        for priority, records in waiting.items():
            if records > self._high_water:
                self._crowded.add(priority)
            elif records < self._high_water / 2:
                self._crowded.discard(priority)
        return frozenset(self._crowded)

    async def drained(self, timeout_s: float) -> bool:
        return all(await asyncio.gather(*(lanes.drained(timeout_s) for lanes in self._lanes.values())))

    async def abandon(self) -> None:
        await asyncio.gather(*(lanes.abandon() for lanes in self._lanes.values()))
