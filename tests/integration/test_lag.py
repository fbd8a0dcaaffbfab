"""Lag on a real broker: what other people's groups look like, and that looking leaves no trace."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition
from confluent_kafka import Consumer
from typer.testing import CliRunner

from api.cli.main import app
from infrastructure.kafka.connection import connection
from infrastructure.kafka.lag import GroupReading, LagReader, open_lag_reader
from infrastructure.kafka.lag_watch import LagWatch, open_lag_watch
from infrastructure.settings import Settings
from schemas.lag import Status
from schemas.outcomes import Unavailable
from tests.eventually import eventually

Unique = Callable[[str], str]


@pytest_asyncio.fixture(name="admin")
async def an_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**connection(settings))
    await client.start()
    yield client
    await client.close()


@pytest_asyncio.fixture(name="reader")
async def a_reader(settings: Settings) -> AsyncIterator[LagReader]:
    async with open_lag_reader(connection(settings)) as opened:
        yield opened


@pytest_asyncio.fixture(name="topic")
async def a_topic(admin: AIOKafkaAdminClient, settings: Settings, unique: Unique) -> str:
    """Two partitions, with ten records in the first."""
    name = unique("orders")
    await admin.create_topics([NewTopic(name, 2, 1)])
    await eventually(lambda: _leads(admin, name))
    await ten_records(settings, name)
    return name


async def _leads(admin: AIOKafkaAdminClient, topic: str) -> bool:
    [found] = await admin.describe_topics([topic])
    return len(found["partitions"]) == 2


async def ten_records(settings: Settings, topic: str, **options: Any) -> None:
    async with AIOKafkaProducer(**connection(settings), **options) as producer:
        if not options:
            await asyncio.gather(*[await producer.send(topic, b"order", partition=0) for _ in range(10)])
            return
        async with producer.transaction():
            for _ in range(10):
                await producer.send(topic, b"order", partition=0)


@asynccontextmanager
async def a_member(settings: Settings, group: str, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    options = connection(settings) | {"client_id": "shop"}
    async with AIOKafkaConsumer(*topics, group_id=group, enable_auto_commit=False, **options) as consumer:
        yield consumer


async def a_commit(settings: Settings, group: str, topic: str, offset: int) -> None:
    """What a reader leaves behind that came, committed and went."""
    async with a_member(settings, group) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.commit({TopicPartition(topic, 0): offset})


async def the_group(reader: LagReader, name: str) -> GroupReading:
    [found] = await reader.read([name])
    return found


async def test_a_group_shows_its_offsets_its_age_and_who_holds_each_partition(
    reader: LagReader, settings: Settings, topic: str, unique: Unique
) -> None:
    group = unique("billing")
    async with a_member(settings, group, topic) as consumer:
        await eventually(lambda: asyncio.sleep(0, len(consumer.assignment()) == 2))
        await consumer.commit({TopicPartition(topic, 0): 4})
        found = await the_group(reader, group)
    first, second = found.partitions
    assert (found.state, found.abandoned) == ("Stable", False)
    assert (first.sample.start, first.sample.committed, first.sample.end, first.sample.lag) == (0, 4, 10, 6)
    assert first.sample.lag_s is not None
    assert first.owner == second.owner == "shop@127.0.0.1"
    assert (second.sample.committed, second.sample.lag) == (None, 0)


async def test_a_group_whose_members_left_is_abandoned(
    reader: LagReader, settings: Settings, topic: str, unique: Unique
) -> None:
    group = unique("billing")
    await a_commit(settings, group, topic, 4)
    found = await the_group(reader, group)
    assert (found.state, found.abandoned, found.members) == ("Empty", True, ())
    assert found.partitions[0].owner is None


async def test_groups_are_found_by_name_by_prefix_and_all_at_once(
    reader: LagReader, settings: Settings, topic: str, unique: Unique
) -> None:
    shop = unique("shop")
    names = [f"{shop}.billing", f"{shop}.stock"]
    for place, name in enumerate(names):
        await a_commit(settings, name, topic, place)
    assert [found.group for found in await reader.read([f"{shop}.*"])] == names
    assert {found.group for found in await reader.read()} >= set(names)
    assert [found.partitions[0].sample.lag for found in await reader.read(names)] == [10, 9]


async def test_transaction_markers_behind_the_last_commit_are_no_lag(
    reader: LagReader, settings: Settings, topic: str, unique: Unique
) -> None:
    group = unique("billing")
    await ten_records(settings, topic, transactional_id=unique("tx"))
    await a_commit(settings, group, topic, 20)
    [found] = (await the_group(reader, group)).partitions
    assert (found.sample.end, found.sample.markers_only, found.sample.lag) == (21, True, 0)


async def test_a_group_of_the_new_protocol_has_a_right_lag_and_an_unknown_owner(
    reader: LagReader, settings: Settings, topic: str, unique: Unique
) -> None:
    """KIP-848: a classic describe calls such a group dead, although it is not."""
    group = unique("billing")
    options = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "group.id": group,
        "group.protocol": "consumer",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    consumer = Consumer(options)
    try:
        consumer.subscribe([topic])
        record = await asyncio.to_thread(consumer.poll, 20)
        assert record is not None
        await asyncio.to_thread(consumer.commit, message=record, asynchronous=False)
        found = await the_group(reader, group)
    finally:
        await asyncio.to_thread(consumer.close)
    assert (found.state, found.abandoned) == ("Unknown", False)
    assert [(one.sample.lag, one.owner) for one in found.partitions] == [(9, "unknown")]


async def test_looking_creates_nothing_commits_nothing_and_joins_nothing(
    reader: LagReader, admin: AIOKafkaAdminClient, settings: Settings, topic: str, unique: Unique
) -> None:
    group, nobody = unique("billing"), unique("nobody")
    await a_commit(settings, group, topic, 4)
    before = await admin.list_consumer_group_offsets(group)
    assert await reader.read([nobody]) == []
    await reader.read()
    assert nobody not in {name for name, _ in await admin.list_consumer_groups()}
    assert await admin.list_consumer_group_offsets(group) == before
    assert (await the_group(reader, group)).state == "Empty"


async def test_a_deleted_topic_is_left_out_and_does_not_come_back(
    reader: LagReader, admin: AIOKafkaAdminClient, settings: Settings, topic: str, unique: Unique
) -> None:
    group = unique("billing")
    await a_commit(settings, group, topic, 4)
    await admin.delete_topics([topic])

    async def gone() -> bool:
        return topic not in await admin.list_topics()

    await eventually(gone)
    assert [found.partitions for found in await reader.read([group])] in ([()], [])
    assert await gone()


async def test_the_watch_has_a_report_with_history_soon_after_it_is_opened(
    settings: Settings, topic: str, unique: Unique
) -> None:
    group = unique("billing")
    await a_commit(settings, group, topic, 10)
    async with open_lag_watch(connection(settings), groups=[group], interval_s=0.1) as watch:
        await eventually(lambda: _looked(watch, group, 3))
        [found] = watch.report
    assert (found.status, found.lag, found.lag_s) == (Status.OK, 0, 0.0)


async def _looked(watch: LagWatch, group: str, times: int) -> bool:
    return len(watch.history(group)) >= times


async def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no bootstrap server answers"):
        async with open_lag_reader({"bootstrap_servers": ["127.0.0.1:1"]}):
            pass


async def carillon_lag(*arguments: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["lag", *arguments])
    return result.exit_code, result.output


async def test_the_command_line_says_by_its_exit_code_whether_all_is_well(
    settings: Settings, topic: str, unique: Unique
) -> None:
    well, lost = unique("well"), unique("lost")
    await a_commit(settings, well, topic, 10)
    await a_commit(settings, lost, topic, 500)
    servers: Sequence[str] = ("-b", settings.kafka_bootstrap_servers, "-i", "0.2")
    code, output = await carillon_lag(well, *servers)
    assert (code, "OK" in output) == (0, True)
    code, output = await carillon_lag(well, lost, *servers)
    assert (code, "REWOUND" in output) == (1, True)
    code, output = await carillon_lag(unique("nobody"), *servers)
    assert (code, "There is no group" in output) == (1, True)
    code, output = await carillon_lag("-b", "127.0.0.1:1")
    assert (code, "Check the address" in output) == (2, True)
