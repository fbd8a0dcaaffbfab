"""The watch keeps samples, forgets what is gone, and outlives an outage."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from infrastructure.kafka.lag import GroupReading, Reading
from infrastructure.kafka.lag_watch import LagWatch
from schemas.lag import SAMPLES_JUDGED, SAMPLES_KEPT, Sample, Status
from schemas.outcomes import Unavailable

NOON = 1_800_000_000.0


def a_reading(committed: int, end: int, at: float = NOON, group: str = "billing", state: str = "Stable") -> GroupReading:
    sample = Sample(at, 0, committed, end, at - 60 if committed < end else None)
    return GroupReading(group, state, ("app@10.0.0.7",), (Reading("orders", 0, "app@10.0.0.7", sample),))


class FakeReader:
    """Answers one entry of the script per look, then waits for ever; an exception in it is raised."""

    def __init__(self, script: list[GroupReading | Exception]) -> None:
        self.script = script
        self.opened = 0
        self.spent = asyncio.Event()

    async def read(self, names: Sequence[str] = ()) -> list[GroupReading]:
        assert not names
        if not self.script:
            self.spent.set()
            await asyncio.Event().wait()
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [answer]

    @asynccontextmanager
    async def open(self) -> AsyncIterator["FakeReader"]:
        self.opened += 1
        yield self


async def a_watch_after(*script: GroupReading | Exception) -> tuple[LagWatch, FakeReader]:
    reader = FakeReader(list(script))
    watch = LagWatch(reader.open, interval_s=0)
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(reader.spent.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return watch, reader


async def test_a_trend_is_told_from_the_second_look_on() -> None:
    watch, _ = await a_watch_after(a_reading(0, 100), a_reading(50, 100, NOON + 5))
    [group] = watch.report
    assert (group.status, group.lag, group.eta_s) == (Status.OK, 50, 5.0)


def test_memory_is_bounded_to_the_last_samples() -> None:
    watch = LagWatch(FakeReader([]).open)
    for look in range(SAMPLES_KEPT + 30):
        watch.take([a_reading(look, 1_000, NOON + look * 5)], NOON + look * 5)
    assert len(watch.history("billing")) == SAMPLES_KEPT
    assert watch.history("billing")[0] == (NOON + 150, 970, 60.0)
    assert len(watch.report[0].partitions[0].samples) == SAMPLES_JUDGED


def test_a_group_that_is_gone_is_forgotten_with_its_samples() -> None:
    watch = LagWatch(FakeReader([]).open)
    watch.take([a_reading(90, 100)], NOON)
    watch.take([], NOON + 5)
    watch.take([a_reading(10, 100, NOON + 10)], NOON + 10)
    assert watch.report[0].status is Status.UNKNOWN  # a rewind would mean that the old samples were still there
    assert len(watch.history("billing")) == 1


def test_a_group_whose_members_are_gone_is_stopped() -> None:
    watch = LagWatch(FakeReader([]).open)
    watch.take([a_reading(90, 100, state="Empty")], NOON)
    assert watch.report[0].status is Status.STOPPED


async def test_an_outage_keeps_the_last_report_and_says_that_it_is_old() -> None:
    reader = FakeReader([a_reading(0, 100), Unavailable("Kafka did not answer")])
    watch = LagWatch(reader.open, interval_s=0)
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(reader.spent.wait(), 5)
    assert watch.trouble == "Kafka did not answer"
    assert watch.report[0].lag == 100
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_after_an_outage_it_connects_again_and_goes_on_with_the_samples_it_has() -> None:
    watch, reader = await a_watch_after(a_reading(0, 100), Unavailable("gone"), a_reading(50, 100, NOON + 10))
    assert reader.opened == 2
    assert watch.trouble is None
    assert watch.report[0].eta_s == 10.0


async def test_a_crash_of_the_reader_does_not_leave_an_old_report_standing_as_fresh() -> None:
    watch, _ = await a_watch_after(a_reading(0, 100), KeyError("a bug"))
    assert watch.trouble == "the lag reader crashed: KeyError"
