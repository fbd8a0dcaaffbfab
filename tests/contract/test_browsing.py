"""Looking through a Kafka topic from its newest record back: in memory, and on a broker that must not notice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from infrastructure.kafka.browsing import Found, Log, Span, at, newest, open_log
from infrastructure.kafka.connection import connection
from infrastructure.kafka.lag import open_lag_reader
from infrastructure.ports import Outgoing, Publisher, Received
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas.events import Position
from tests.fakes.browsing import FakeLog

TOPIC = "notifications.test.quarantine"
Unique = Callable[[str], str]


@dataclass(frozen=True)
class Bench:
    publisher: Publisher
    log: Log

    async def a_record(self, mark: str, value: bytes = b"{}", key: str | None = None) -> Position:
        return await self.publisher.publish(Outgoing(TOPIC, key, value, {"mark": mark}))

    async def newest(self, mark: str, span: Span | None = None, limit: int = 100) -> Found:
        return await newest(self.log, TOPIC, span or Span(), lambda each: each.headers == (("mark", mark.encode()),), limit)


@pytest_asyncio.fixture
async def kafka_log(settings: Settings, resources: Resources) -> AsyncIterator[Log]:
    async with open_log(connection(settings)) as log:
        yield log


@pytest.fixture(params=["fake", "kafka"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "fake":
        log = FakeLog()
        return Bench(log, log)
    resources: Resources = request.getfixturevalue("resources")
    return Bench(resources.publisher, request.getfixturevalue("kafka_log"))


def values(found: Found) -> list[bytes | None]:
    return [each.value for each in found.records]


def moment(record: Received) -> datetime:
    return datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)


async def apart(bench: Bench, mark: str, count: int) -> None:
    """Records whose times differ, so that their order is one."""
    for number in range(count):
        await bench.a_record(mark, b"%d" % number)
        await asyncio.sleep(0.002)


async def test_the_newest_come_first_over_all_partitions(bench: Bench, unique: Unique) -> None:
    mark = unique("mark")
    await apart(bench, mark, 12)
    found = await bench.newest(mark)
    assert values(found) == [b"%d" % number for number in reversed(range(12))]
    assert len({each.partition for each in found.records}) > 1
    assert found.before is None


async def test_pages_leave_nothing_out_and_repeat_nothing(bench: Bench, unique: Unique) -> None:
    mark, other = unique("mark"), unique("other")
    for number in range(120):
        await bench.a_record(mark if number % 4 == 0 else other, b"%d" % number)
    seen: list[bytes] = []
    before: dict[int, int] | None = {}
    while before is not None:
        found = await bench.newest(mark, Span(before=before), limit=7)
        assert len(found.records) <= 7
        seen += [each.value or b"" for each in found.records]
        before = found.before
    assert sorted(seen) == sorted(b"%d" % number for number in range(0, 120, 4))


async def test_a_span_of_time_counts_both_ends(bench: Bench, unique: Unique) -> None:
    mark = unique("mark")
    await apart(bench, mark, 5)
    all_of_them = (await bench.newest(mark)).records
    span = Span(since=moment(all_of_them[3]), until=moment(all_of_them[1]))
    assert values(await bench.newest(mark, span)) == [b"3", b"2", b"1"]


async def test_one_record_is_found_by_its_place_with_all_its_bytes(bench: Bench, unique: Unique) -> None:
    place = await bench.a_record(unique("mark"), b"\xff\x00", key="k")
    found = await at(bench.log, TOPIC, place.partition, place.offset)
    assert found is not None
    assert (found.position, found.key, found.value) == (place, b"k", b"\xff\x00")


async def test_a_place_without_a_record_is_nothing(bench: Bench, unique: Unique) -> None:
    place = await bench.a_record(unique("mark"))
    assert await at(bench.log, TOPIC, place.partition, place.offset + 1) is None
    assert await at(bench.log, TOPIC, 99, 0) is None


async def test_a_topic_that_is_not_there_is_empty(bench: Bench, unique: Unique) -> None:
    assert await newest(bench.log, unique("nobody"), Span(), lambda _: True, 10) == Found((), None)


async def test_a_large_record_comes_whole(bench: Bench, unique: Unique) -> None:
    mark, large = unique("mark"), b"x" * 3_000_000
    await bench.a_record(mark, large)
    await bench.a_record(mark, b"small")
    assert sorted(len(value or b"") for value in values(await bench.newest(mark))) == [5, 3_000_000]


async def test_looking_leaves_no_trace_on_the_cluster(settings: Settings, kafka_log: Log, unique: Unique) -> None:
    async with open_lag_reader(connection(settings)) as reader:
        groups = {one.group for one in await reader.read()}
        nobody = unique("nobody")
        await newest(kafka_log, TOPIC, Span(), lambda _: True, 5)
        await newest(kafka_log, nobody, Span(), lambda _: True, 5)
        assert {one.group for one in await reader.read()} == groups
    assert await kafka_log.bounds(nobody) == {}
