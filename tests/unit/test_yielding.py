"""Bulk's places beside others that are busy: as many as they do not feel."""

import asyncio
from collections.abc import Callable

from infrastructure.kafka.consuming.yielding import SLOW_TURN_S, YieldingPlaces

MOST = 8


class Wheel:
    """A clock that is asked at the beginning and at the end of a turn of the loop, and knows how long the next ones take."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._is_turning = False
        self.turn_s = 0.0
        self.next_turn_s: float | None = None

    def __call__(self) -> float:
        if self._is_turning:
            self._now_s += self.turn_s if self.next_turn_s is None else self.next_turn_s
            self.next_turn_s = None
        self._is_turning = not self._is_turning
        return self._now_s


class Hall:
    """Work that comes, holds a place for a few turns of the loop, and goes; remembers how many were in at once."""

    def __init__(self, others_are_busy: Callable[[], bool] = lambda: True) -> None:
        self.wheel = Wheel()
        self.places = YieldingPlaces(MOST, others_are_busy, clock=self.wheel)
        self.inside = 0
        self.done = 0

    async def work(self) -> None:
        async with self.places:
            self.inside += 1
            await a_few_turns()
            self.inside -= 1
            self.done += 1

    async def most_at_once(self, pieces: int) -> int:
        most = 0
        going = asyncio.gather(*(self.work() for _ in range(pieces)))
        while not going.done():
            await asyncio.sleep(0)
            most = max(most, self.inside)
        return most


async def a_few_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_places_are_bulks_own_while_the_others_are_idle() -> None:
    assert await Hall(others_are_busy=lambda: False).most_at_once(3 * MOST) == MOST


async def test_beside_busy_others_it_begins_with_one() -> None:
    hall = Hall()
    going = asyncio.gather(*(hall.work() for _ in range(MOST)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert hall.inside == 1
    await going


async def test_while_turns_are_quick_it_takes_more_until_it_has_them_all() -> None:
    assert await Hall().most_at_once(20 * MOST) == MOST


async def test_once_turns_are_slow_it_goes_back_to_one_and_no_further() -> None:
    hall = Hall()
    await hall.most_at_once(20 * MOST)
    hall.wheel.turn_s = 20 * SLOW_TURN_S
    await hall.most_at_once(10 * MOST)
    assert await hall.most_at_once(2 * MOST) == 1
    assert hall.done == 32 * MOST


async def test_one_slow_turn_among_many_is_not_felt() -> None:
    hall = Hall()
    await hall.most_at_once(20 * MOST)
    hall.wheel.next_turn_s = 5 * SLOW_TURN_S
    await hall.most_at_once(1)
    assert await hall.most_at_once(MOST) == MOST


async def test_first_come_first_served() -> None:
    places, done = YieldingPlaces(MOST, lambda: True), list[int]()

    async def work(number: int) -> None:
        async with places:
            done.append(number)
            await a_few_turns()

    await asyncio.gather(*(work(number) for number in range(50)))
    assert done == list(range(50))


async def test_whoever_gives_up_waiting_takes_no_place_along() -> None:
    places = YieldingPlaces(1, lambda: False)
    first = asyncio.Event()

    async def work(until: asyncio.Event) -> None:
        async with places:
            await until.wait()

    holding = asyncio.create_task(work(first))
    await a_few_turns()
    gone, next_one = (asyncio.create_task(work(first)) for _ in range(2))
    await a_few_turns()
    first.set()
    holding_done = asyncio.create_task(a_few_turns())
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await asyncio.wait_for(asyncio.gather(holding, next_one, holding_done), 5)
    async with asyncio.timeout(5), places:
        pass
