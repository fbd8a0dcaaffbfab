"""A share of the store's places is urgent work's own, and is never lent."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from infrastructure.dynamo.batches import Batches
from infrastructure.kafka.consuming.budgets import Budgets
from infrastructure.kafka.consuming.port import Partition
from infrastructure.urgency import ReservedPlaces, is_urgent, urgently


class Shop:
    """Work that holds its place until the doors open."""

    def __init__(self, places: int) -> None:
        self._places = ReservedPlaces(places)
        self.doors = asyncio.Event()
        self.inside: list[str] = []

    async def ordinary(self, name: str) -> None:
        async with self._places.one():
            self.inside.append(name)
            await self.doors.wait()

    async def urgent(self, name: str) -> None:
        with urgently():
            await self.ordinary(name)


async def a_few_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_however_many_wait_urgent_work_finds_a_place() -> None:
    shop = Shop(10)
    flood = [asyncio.create_task(shop.ordinary(f"bulk-{number}")) for number in range(50)]
    await a_few_turns()
    assert len(shop.inside) == 7, "three of ten are never lent"
    code = asyncio.create_task(shop.urgent("code"))
    await a_few_turns()
    assert shop.inside[-1] == "code"
    shop.doors.set()
    await asyncio.gather(code, *flood)
    assert len(shop.inside) == 51


async def test_urgent_work_takes_what_is_free_and_never_waits_for_ordinary_work() -> None:
    shop = Shop(10)
    codes = [asyncio.create_task(shop.urgent(f"code-{number}")) for number in range(10)]
    await a_few_turns()
    assert len(shop.inside) == 10
    shop.doors.set()
    await asyncio.gather(*codes)


class StuckStore:
    """Answers urgent calls, and lets all others wait."""

    def __init__(self) -> None:
        self.waiting = 0
        self.repaired = asyncio.Event()

    async def call(self, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        if not is_urgent():
            self.waiting += 1
            await self.repaired.wait()
        return {"Responses": {"t": payload["RequestItems"]["t"]["Keys"]}} if action == "BatchGetItem" else {}


def a_key(name: str) -> dict[str, Any]:
    return {"id": {"S": name}}


async def test_urgent_reads_and_writes_travel_in_batches_of_their_own() -> None:
    store = StuckStore()
    batches = Batches(store.call)
    flood = [asyncio.create_task(batches.put("t", a_key(f"b-{number}"), ("id",))) for number in range(1000)]
    flood += [asyncio.create_task(batches.get("t", a_key(f"b-{number}"))) for number in range(1000)]  # type: ignore[arg-type]
    await a_few_turns()
    assert store.waiting == 16, "of eleven at once, three are kept"
    with urgently():
        async with asyncio.timeout(5):
            for number in range(5):
                assert await batches.get("t", a_key(f"code-{number}")) == a_key(f"code-{number}")
                await batches.put("t", a_key(f"code-{number}"), ("id",))
    store.repaired.set()
    await asyncio.gather(*flood)


async def test_a_record_of_an_urgent_topic_is_worked_on_urgently_and_no_other() -> None:
    seen: dict[str, bool] = {}

    async def step(name: str) -> None:
        await asyncio.sleep(0)
        seen[name] = await asyncio.create_task(asked())

    async def asked() -> bool:
        return is_urgent()

    budgets = Budgets(step, 4)
    for topic in ("orders", "orders.urgent", "orders.bulk"):
        budgets.add(Partition(topic, 0), "ana", topic)
    assert await budgets.drained(5)
    assert seen == {"orders": False, "orders.urgent": True, "orders.bulk": False}


class Mill:
    """Grinds until it is told to stop, and counts what it has between its stones."""

    def __init__(self, concurrency: int) -> None:
        self.moving: Counter[str] = Counter()
        self.doors = asyncio.Event()
        self.budgets = Budgets(self._grind, concurrency)

    async def _grind(self, topic: str) -> None:
        self.moving[topic] += 1
        await self.doors.wait()
        self.moving[topic] -= 1

    def add(self, topic: str, count: int) -> None:
        for number in range(count):
            self.budgets.add(Partition(topic, 0), number, topic)

    async def grinds(self) -> None:
        await a_few_turns()
        self.doors.set()
        assert await self.budgets.drained(5)


async def test_bulk_takes_all_its_places_while_the_others_are_idle_and_few_while_they_are_not() -> None:
    idle, busy = Mill(32), Mill(32)
    idle.add("orders.bulk", 50)
    busy.add("orders", 1)
    busy.add("orders.bulk", 50)
    await a_few_turns()
    assert (idle.moving["orders.bulk"], busy.moving["orders.bulk"]) == (32, 1)
    await idle.grinds()
    await busy.grinds()
