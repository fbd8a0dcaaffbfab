"""The consumer wrapper on a real broker: rebalances in the middle of work, clean stops, silent stalls."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infrastructure.kafka.connection import connection
from infrastructure.kafka.consuming.aiokafka_client import AiokafkaClient
from infrastructure.kafka.consuming.consumer import GroupConsumer
from infrastructure.ports import Outgoing, Received
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from tests.eventually import eventually
from tests.fakes.gaps import FakeGaps

RECORDS = 300


@pytest_asyncio.fixture
async def topic(settings: Settings, unique: Callable[[str], str]) -> AsyncIterator[str]:
    name = unique("wrapper")
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    await admin.create_topics([NewTopic(name, 4, 1)])
    yield name
    await admin.close()


class Seen:
    """Takes a little time over every record, and counts each."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()

    async def handle(self, record: Received) -> None:
        await asyncio.sleep(0.01)
        self.times[str(record.position)] += 1

    async def bury(self, record: Received, error: Exception) -> None:
        raise AssertionError(f"nothing is buried here: {record.position} {error!r}")


class Worker:
    """One member of the topic's group, from start to stop."""

    def __init__(self, settings: Settings, topic: str, seen: Seen, **changed: Any) -> None:
        self.clients: list[AiokafkaClient] = []
        self.consumer = GroupConsumer(
            settings.model_copy(update={"worker_concurrency": 4, **changed}),
            f"group.{topic}",
            [topic],
            seen,
            gaps=FakeGaps(),
            open_client=self._open,
        )

    def _open(self, settings: Settings, group: str, topics: Iterable[str]) -> AiokafkaClient:
        self.clients.append(AiokafkaClient(settings, group, topics))
        return self.clients[-1]

    async def __aenter__(self) -> "Worker":
        self._running = asyncio.create_task(self.consumer.run())
        await asyncio.wait_for(self.consumer.ready.wait(), 30)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.consumer.stop()
        await asyncio.wait_for(self._running, 40)


async def produced(resources: Resources, topic: str, count: int = RECORDS) -> None:
    records = (Outgoing(topic, f"person-{number % 20}", b"{}") for number in range(count))
    await asyncio.gather(*(resources.publisher.publish(record) for record in records))


async def all_seen(seen: Seen, count: int = RECORDS) -> None:
    async def looking() -> bool:
        return len(seen.times) >= count

    await eventually(looking, within_s=60)


async def share_evenly(first: Worker, second: Worker) -> bool:
    """Four partitions for two; in the middle of a rebalance nobody holds any."""
    return first.consumer.health().assigned == second.consumer.health().assigned == 2


async def test_members_that_come_and_go_in_the_middle_of_work_lose_and_repeat_nothing(
    settings: Settings, resources: Resources, topic: str
) -> None:
    seen = Seen()
    await produced(resources, topic)
    async with Worker(settings, topic, seen) as first:
        await all_seen(seen, 20)
        async with Worker(settings, topic, seen) as second:
            await all_seen(seen, 150)
            await eventually(lambda: share_evenly(first, second))
            ids = {each.clients[0]._consumer._client._client_id for each in (first, second)}
            assert len(ids) == 2, "the broker can tell them apart"
        await all_seen(seen)
    assert set(seen.times.values()) == {1}, "clean rebalances and clean stops repeat nothing"


async def test_a_rolling_restart_repeats_nothing(settings: Settings, resources: Resources, topic: str) -> None:
    seen = Seen()
    await produced(resources, topic)
    for reached in (50, 120, 200, RECORDS):
        async with Worker(settings, topic, seen):
            assert len(seen.times) < reached, "the one before left something to do"
            await all_seen(seen, reached)
    assert set(seen.times.values()) == {1}


async def test_a_client_whose_fetcher_died_silently_is_replaced(
    settings: Settings, resources: Resources, topic: str
) -> None:
    seen = Seen()
    async with Worker(settings, topic, seen) as worker:
        await produced(resources, topic, 20)
        await all_seen(seen, 20)
        worker.clients[0]._consumer._fetcher._fetch_task.cancel()
        await produced(resources, topic, 20)
        await all_seen(seen, 40)
    assert len(worker.clients) == 2
    assert set(seen.times.values()) == {1}


async def test_a_client_that_fetches_no_more_is_replaced(settings: Settings, resources: Resources, topic: str) -> None:
    """Its fetcher lives, heartbeats go on, and no record comes: paused behind our back, which nobody of us did."""
    seen = Seen()
    async with Worker(settings, topic, seen, kafka_stall_s=2.0) as worker:
        consumer = worker.clients[0]._consumer
        consumer.pause(*consumer.assignment())
        await produced(resources, topic, 20)
        await all_seen(seen, 20)
    assert len(worker.clients) == 2
    assert set(seen.times.values()) == {1}
