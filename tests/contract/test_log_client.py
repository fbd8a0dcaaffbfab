"""What the consumer wrapper may expect of a Kafka client: in memory, and aiokafka on a broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from infrastructure.kafka.connection import connection
from infrastructure.kafka.consuming.aiokafka_client import AiokafkaClient
from infrastructure.kafka.consuming.port import CommitRefused, LogClient, Partition, Tenure
from infrastructure.ports import Received
from infrastructure.settings import Settings
from tests.fakes.log import FakeBroker


class Log(Protocol):
    """A Kafka topic of two partitions, and clients of one group on it."""

    topic: str

    async def produce(self, number: int, count: int = 1) -> None: ...
    async def truncate(self, number: int, start: int) -> None: ...
    def client(self) -> LogClient: ...


class FakeLog:
    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._broker = FakeBroker({topic: 2})

    async def produce(self, number: int, count: int = 1) -> None:
        for _ in range(count):
            await self._broker.produce(self.topic, number=number, headers=(("h", b"\xff"),))

    async def truncate(self, number: int, start: int) -> None:
        await self._broker.truncate(Partition(self.topic, number), start)

    def client(self) -> LogClient:
        return self._broker.open(Settings(_env_file=None, deployment="local"), "group", [self.topic])


class KafkaLog:
    def __init__(self, topic: str, settings: Settings, producer: Any, admin: Any) -> None:
        self.topic = topic
        self._settings, self._producer, self._admin = settings, producer, admin

    async def produce(self, number: int, count: int = 1) -> None:
        for _ in range(count):
            await self._producer.send_and_wait(self.topic, b"{}", partition=number, headers=[("h", b"\xff")])

    async def truncate(self, number: int, start: int) -> None:
        await self._admin.delete_records({TopicPartition(self.topic, number): RecordsToDelete(start)})

    def client(self) -> LogClient:
        return AiokafkaClient(self._settings, f"group.{self.topic}", [self.topic])


@pytest_asyncio.fixture
async def kafka_log(settings: Settings, unique: Callable[[str], str]) -> AsyncIterator[KafkaLog]:
    topic = unique("log")
    admin, producer = AIOKafkaAdminClient(**connection(settings)), AIOKafkaProducer(**connection(settings), acks="all")
    await admin.start()
    await producer.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    yield KafkaLog(topic, settings, producer, admin)
    await producer.stop()
    await admin.close()


@pytest.fixture(params=["fake", "kafka"])
def log(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Log:
    if request.param == "fake":
        return FakeLog(unique("log"))
    found: Log = request.getfixturevalue("kafka_log")
    return found


class Told:
    """What a client told its listener; `before_it_goes` is what a member does while it is being revoked."""

    def __init__(self) -> None:
        self.tenures: list[Tenure] = []
        self.revoked_times = 0
        self.before_it_goes: Callable[[], Awaitable[None]] | None = None

    async def revoked(self) -> None:
        self.revoked_times += 1
        if self.before_it_goes is not None:
            await self.before_it_goes()

    async def assigned(self, tenure: Tenure) -> None:
        self.tenures.append(tenure)

    @property
    def generation(self) -> int:
        return self.tenures[-1].generation


async def polled(client: LogClient, count: int) -> dict[Partition, list[Received]]:
    found: dict[Partition, list[Received]] = {}
    async with asyncio.timeout(20):
        while sum(map(len, found.values())) < count:
            for tp, records in (await client.poll(0.2)).items():
                found.setdefault(tp, []).extend(records)
    return found


@pytest_asyncio.fixture
async def opened(log: Log) -> AsyncIterator[tuple[LogClient, Told]]:
    client, told = log.client(), Told()
    await client.start(told)
    yield client, told
    await client.stop()


async def test_records_come_in_order_with_everything_they_carry(log: Log, opened: tuple[LogClient, Told]) -> None:
    client, told = opened
    await log.produce(0, 3)
    [(tp, records)] = (await polled(client, 3)).items()
    assert tp == Partition(log.topic, 0)
    assert [record.offset for record in records] == [0, 1, 2]
    assert records[0].headers == (("h", b"\xff"),)
    assert (records[0].topic, records[0].partition, records[0].key) == (log.topic, 0, None)
    assert client.positions()[tp] == 3
    assert told.tenures[-1].partitions == {Partition(log.topic, 0), Partition(log.topic, 1)}


async def test_a_paused_partition_gives_nothing_until_it_is_resumed(log: Log, opened: tuple[LogClient, Told]) -> None:
    client, _ = opened
    client.pause([Partition(log.topic, 0)])
    await log.produce(0, 2)
    await log.produce(1, 1)
    assert set(await polled(client, 1)) == {Partition(log.topic, 1)}
    assert await client.poll(0.3) == {}
    client.resume([Partition(log.topic, 0)])
    assert set(await polled(client, 2)) == {Partition(log.topic, 0)}


async def test_starts_ends_and_committed_offsets_can_be_asked_for(log: Log, opened: tuple[LogClient, Told]) -> None:
    client, told = opened
    first, second = Partition(log.topic, 0), Partition(log.topic, 1)
    await log.produce(0, 4)
    await client.commit(told.generation, {first: 3})
    assert await client.committed([first, second]) == {first: 3, second: None}
    assert await client.log_ends([first, second]) == {first: 4, second: 0}
    await log.truncate(0, 2)
    assert await client.log_starts([first, second]) == {first: 2, second: 0}


async def test_who_comes_next_reads_on_at_the_committed_offset(log: Log) -> None:
    await log.produce(0, 5)
    client, told = log.client(), Told()
    await client.start(told)
    await polled(client, 5)
    await client.commit(told.generation, {Partition(log.topic, 0): 3})
    await client.stop()
    following = log.client()
    await following.start(Told())
    [records] = (await polled(following, 2)).values()
    await following.stop()
    assert [record.offset for record in records] == [3, 4]


async def test_a_committed_offset_that_retention_overtook_leads_to_the_log_start(log: Log) -> None:
    await log.produce(0, 5)
    client, told = log.client(), Told()
    await client.start(told)
    await client.commit(told.generation, {Partition(log.topic, 0): 1})
    await client.stop()
    await log.truncate(0, 4)
    following = log.client()
    await following.start(Told())
    [records] = (await polled(following, 1)).values()
    assert await following.committed([Partition(log.topic, 0)]) == {Partition(log.topic, 0): 1}
    await following.stop()
    assert [record.offset for record in records] == [4]


async def test_a_rebalance_revokes_lets_commit_and_assigns_anew(log: Log, opened: tuple[LogClient, Told]) -> None:
    client, told = opened
    await log.produce(0, 2)
    await polled(client, 2)
    old = told.generation
    told.before_it_goes = lambda: client.commit(old, {Partition(log.topic, 0): 2})
    polling = asyncio.create_task(polled(client, 10_000))
    second, told_second = log.client(), Told()
    try:
        async with asyncio.timeout(30):
            await second.start(told_second)
            while len(told.tenures) < 2 or told.generation != told_second.generation:
                await asyncio.sleep(0.05)
        assert told.revoked_times >= 1
        assert told.tenures[-1].partitions.isdisjoint(told_second.tenures[-1].partitions)
        assert len(told.tenures[-1].partitions | told_second.tenures[-1].partitions) == 2
        assert (await second.committed([Partition(log.topic, 0)])) == {Partition(log.topic, 0): 2}
        told.before_it_goes = None
        with pytest.raises(CommitRefused):
            await client.commit(old, {Partition(log.topic, 0): 1})
        assert (await second.committed([Partition(log.topic, 0)])) == {Partition(log.topic, 0): 2}
    finally:
        polling.cancel()
        await second.stop()


async def test_a_client_knows_whether_it_is_in_the_group(log: Log) -> None:
    client = log.client()
    assert not client.joined
    await client.start(Told())
    assert client.joined
    await client.stop()
    assert not client.joined
