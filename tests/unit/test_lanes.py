"""Order per key, concurrency across keys, an end that can be waited for."""

import asyncio
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.kafka.consuming.lanes import Lanes

Work = tuple[str, int]


class Workshop:
    """Steps that wait at a gate until they are let through."""

    def __init__(self, concurrency: int = 8) -> None:
        self.started: list[Work] = []
        self.done: list[Work] = []
        self.moving = self.most_moving = 0
        self.gates: dict[Work, asyncio.Event] = defaultdict(asyncio.Event)
        self.is_open = False
        self.lanes: Lanes[Work] = Lanes(self.step, concurrency)

    def add(self, key: str, number: int) -> None:
        self.lanes.add(key, (key, number))

    async def step(self, work: Work) -> None:
        self.started.append(work)
        self.moving += 1
        self.most_moving = max(self.most_moving, self.moving)
        try:
            if not self.is_open:
                await self.gates[work].wait()
            await asyncio.sleep(0)
        finally:
            self.moving -= 1
        self.done.append(work)

    def open(self) -> None:
        self.is_open = True
        for gate in self.gates.values():
            gate.set()


async def a_few_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_stuck_key_holds_up_its_own_and_nobody_else() -> None:
    shop = Workshop()
    shop.add("ana", 1)
    shop.add("ana", 2)
    shop.add("ben", 1)
    shop.gates["ben", 1].set()
    await a_few_turns()
    assert shop.done == [("ben", 1)]
    assert ("ana", 2) not in shop.started
    shop.open()
    assert await shop.lanes.drained(5)
    assert shop.done == [("ben", 1), ("ana", 1), ("ana", 2)]


async def test_no_more_move_at_once_than_allowed() -> None:
    shop = Workshop(concurrency=3)
    for number in range(10):
        shop.add(f"p{number}", 0)
    await a_few_turns()
    assert shop.moving == 3
    shop.open()
    assert await shop.lanes.drained(5)
    assert shop.most_moving == 3


async def test_a_drain_that_takes_too_long_says_so_and_can_be_given_up() -> None:
    shop = Workshop()
    shop.add("ana", 1)
    shop.add("ana", 2)
    assert not await shop.lanes.drained(0)
    await shop.lanes.abandon()
    assert shop.moving == 0
    assert shop.done == []
    shop.open()
    shop.add("ana", 3)
    assert await shop.lanes.drained(5)
    assert shop.done == [("ana", 3)]


async def test_without_work_there_is_nothing_to_wait_for() -> None:
    assert await Workshop().lanes.drained(0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 4))
def test_whatever_comes_every_key_keeps_its_order(keys: list[str], concurrency: int) -> None:
    async def story() -> Workshop:
        shop = Workshop(concurrency)
        shop.open()
        for number, key in enumerate(keys):
            shop.add(key, number)
            if number % 3 == 0:
                await asyncio.sleep(0)
        assert await shop.lanes.drained(5)
        return shop

    shop = asyncio.run(story())
    assert len(shop.done) == len(keys)
    for key in "abc":
        mine = [number for each, number in shop.done if each == key]
        assert mine == sorted(mine)
