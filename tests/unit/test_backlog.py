"""How far behind a channel is: one look for many who ask, and nobody is held up by what cannot be seen."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from infrastructure.kafka.backlog import LagBacklog
from infrastructure.kafka.lag import GroupReading, Reading
from schemas import topics
from schemas.lag import Sample
from schemas.outcomes import Unavailable

MAIL = "dev.deliver.email"


class Looks:
    """What each look shows; nothing more to show is a cluster that does not answer."""

    def __init__(self, *waits_s: float | None) -> None:
        self.script = list(waits_s)
        self.asked: list[tuple[str, ...]] = []
        self.now = 100.0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Looks"]:
        yield self

    async def read(self, names: Sequence[str] = ()) -> list[GroupReading]:
        self.asked.append(tuple(names))
        await asyncio.sleep(0)
        if not self.script:
            raise Unavailable("Kafka did not answer")
        wait_s = self.script.pop(0)
        oldest = None if wait_s is None else 1000 - wait_s
        bulk = topics.deliveries("dev", "email", "bulk")
        samples = (Sample(1000, 0, 5, 5), Sample(1000, 0, 1, 9, oldest), Sample(1000, 0, None, 9))
        partitions = tuple(Reading(bulk, number, None, sample) for number, sample in enumerate(samples))
        return [GroupReading(MAIL, "Stable", (), partitions)]

    @property
    def backlog(self) -> LagBacklog:
        return LagBacklog(self.open, clock=lambda: self.now)


async def test_it_is_the_age_of_the_oldest_record_that_is_not_committed() -> None:
    looks = Looks(12.5)
    assert await looks.backlog.seconds("dev", "email", "bulk") == 12.5
    assert looks.asked == [(MAIL,)]


async def test_no_lag_is_no_backlog_and_other_priorities_do_not_count() -> None:
    assert await Looks(None).backlog.seconds("dev", "email", "bulk") == 0
    assert await Looks(12.5).backlog.seconds("dev", "email", "normal") == 0


async def test_one_look_serves_everybody_for_two_seconds() -> None:
    looks = Looks(12.5, 3.0)
    backlog = looks.backlog
    found = await asyncio.gather(*(backlog.seconds("dev", "email", "bulk") for _ in range(16)))
    looks.now += 1.9
    assert {*found, await backlog.seconds("dev", "email", "bulk")} == {12.5}
    looks.now += 0.1
    assert await backlog.seconds("dev", "email", "bulk") == 3.0
    assert len(looks.asked) == 2


async def test_what_cannot_be_seen_holds_nobody_up() -> None:
    assert await Looks().backlog.seconds("dev", "email", "bulk") == 0
