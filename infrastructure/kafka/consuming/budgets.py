"""Each priority has its own budget of work under way, and urgent's is never lent: a bulk backlog delays no one-time code.

What queues behind its own kind counts for little: a person with thousands of records, or one whose record is stuck, fills
the part of one partition that only they wait for, and not the budget the others live on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

from infrastructure.kafka.consuming.lanes import Lanes, Work
from infrastructure.kafka.consuming.port import Partition
from infrastructure.kafka.consuming.yielding import YieldingPlaces
from infrastructure.urgency import urgently
from schemas.topics import Priority, priority_of

Member = TypeVar("Member", bound=Hashable)

WAITING_PER_PLACE = 8
DEPTH = 4  # so many budgets' worth of records may wait in one partition for their own kind; a drain has to get through them


class Budgets(Generic[Work]):
    """Lanes per priority. What is above its high water pauses, until it is below half of it."""

    def __init__(self, step: Callable[[Work], Awaitable[None]], concurrency: int) -> None:
        self._step = step
        urgent, normal = Lanes(self._urgent_step, concurrency), Lanes(step, concurrency)
        places = YieldingPlaces(concurrency, lambda: urgent.is_busy or normal.is_busy)
        self._lanes: dict[Priority, Lanes[Work]] = {
            "urgent": urgent,
            "normal": normal,
            "bulk": Lanes(step, concurrency, places),
        }
        self._high_water = concurrency * WAITING_PER_PLACE
        self._deepest = self._high_water * DEPTH
        self._crowded: set[Priority] = set()
        self._deep: set[Partition] = set()

    def add(self, partition: Partition, key: Hashable, work: Work) -> None:
        self._lanes[priority_of(partition.topic)].add((partition, key), work)

    async def _urgent_step(self, work: Work) -> None:
        """Its calls to the store have places of their own too."""
        with urgently():
            await self._step(work)

    def held_up(self, in_flight: Mapping[Partition, int]) -> frozenset[Partition]:
        """What pauses: partitions of crowded priorities, and those too deep. The poll goes on, so the group does not think
        us dead."""
        for priority, lanes in self._lanes.items():
            _judge(self._crowded, priority, lanes.crowd, self._high_water)
        self._deep &= in_flight.keys()
        for tp, records in in_flight.items():
            _judge(self._deep, tp, records, self._deepest)
        return frozenset(tp for tp in in_flight if tp in self._deep or priority_of(tp.topic) in self._crowded)

    async def drained(self, timeout_s: float) -> bool:
        return all(await asyncio.gather(*(lanes.drained(timeout_s) for lanes in self._lanes.values())))

    async def abandon(self) -> None:
        await asyncio.gather(*(lanes.abandon() for lanes in self._lanes.values()))


def _judge(full: set[Member], member: Member, level: int, high_water: int) -> None:
    if level > high_water:
        full.add(member)
    elif level < high_water / 2:
        full.discard(member)
