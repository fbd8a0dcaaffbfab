"""Counting a ledger for many who look: one count at a time, and each stands for a while."""

import asyncio
from collections import Counter

from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.tallies import STANDS_AT_MOST_S, STANDS_FOR, Tallies
from schemas.audiences import Tally


class Counting(DeliveryStore):
    """Counting takes `takes_s` of a clock that nothing else moves."""

    def __init__(self) -> None:  # pylint: disable=super-init-not-called
        self.now_s, self.takes_s = 0.0, 2.0
        self.counted = 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def tally(self, environment: str, notification_id: str, shards: int) -> Tally:
        self.counted += 1
        await self.may_end.wait()
        self.now_s += self.takes_s
        return Tally(Counter({"SENT": self.counted}), versions=self.counted)


def tallies_over(store: Counting) -> Tallies:
    return Tallies(store, clock=lambda: store.now_s)


async def test_who_asks_while_a_count_is_under_way_is_given_the_same() -> None:
    store = Counting()
    store.may_end.clear()
    tallies = tallies_over(store)
    asking = [asyncio.create_task(tallies.of("dev", "ntf_1", 16)) for _ in range(20)]
    await asyncio.sleep(0)
    store.may_end.set()
    answers = await asyncio.gather(*asking)
    assert store.counted == 1
    assert {answer.tally.versions for answer in answers} == {1}


async def test_a_count_stands_for_ten_times_what_it_took_and_no_longer() -> None:
    store = Counting()
    tallies = tallies_over(store)
    await tallies.of("dev", "ntf_1", 16)
    store.now_s += STANDS_FOR * store.takes_s - 0.1
    assert (await tallies.of("dev", "ntf_1", 16)).tally.versions == 1
    store.now_s += 0.1
    assert (await tallies.of("dev", "ntf_1", 16)).tally.versions == 2


async def test_however_long_counting_takes_it_does_not_stand_for_ever() -> None:
    store = Counting()
    store.takes_s = 600.0
    tallies = tallies_over(store)
    await tallies.of("dev", "ntf_1", 16)
    store.now_s += STANDS_AT_MOST_S
    assert (await tallies.of("dev", "ntf_1", 16)).tally.versions == 2


async def test_a_count_of_an_earlier_phase_does_not_stand() -> None:
    store = Counting()
    tallies = tallies_over(store)
    await tallies.of("dev", "ntf_1", 16, phase="walking")
    assert (await tallies.of("dev", "ntf_1", 16, phase="walked")).tally.versions == 2
    assert (await tallies.of("dev", "ntf_1", 16, phase="walked")).tally.versions == 2


async def test_every_notification_and_environment_has_a_count_of_its_own() -> None:
    store = Counting()
    tallies = tallies_over(store)
    asked = (("dev", "ntf_1"), ("dev", "ntf_2"), ("prod", "ntf_1"))
    assert [(await tallies.of(*each, 16)).tally.versions for each in asked] == [1, 2, 3]


async def test_whoever_hangs_up_leaves_the_count_to_the_next() -> None:
    store = Counting()
    store.may_end.clear()
    tallies = tallies_over(store)
    first, second = (asyncio.create_task(tallies.of("dev", "ntf_1", 16)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    store.may_end.set()
    assert (await second).tally.versions == 2
