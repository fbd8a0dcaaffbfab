"""The bridge against a real Valkey and a Publisher in memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from consumers.handlers.bridge import Bridge
from infrastructure.kafka.entrance import Entrance
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Processes
from infrastructure.local.valkey import start_valkey
from infrastructure.redis.client import open_redis
from infrastructure.redis.streams import GROUP, text
from infrastructure.settings import Settings
from schemas import topics
from schemas.ids import entry_request_id
from schemas.legacy import LOW_STOCK_CHANNEL, LOW_STOCK_STREAM
from tests.fakes.publisher import FakePublisher

STREAM = "notifications:dev"
REQUESTS = topics.requests("dev")
QUARANTINE = topics.quarantine("dev")

LowStock = Literal["stream", "channel", "both"] | None


@pytest.fixture(name="valkey", scope="module")
async def running_valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder: Path = tmp_path_factory.mktemp("valkey")
    port = any_free_port()
    async with Processes(folder) as processes:
        await start_valkey(processes, port, folder, persistent=False)
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(name="redis")
async def empty_redis(valkey: str) -> AsyncIterator[Redis]:
    client = open_redis(Settings(_env_file=None, deployment="local", redis_url=valkey))
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(name="publisher")
def fake_publisher() -> FakePublisher:
    return FakePublisher()


def a_bridge(redis: Redis, publisher: FakePublisher, *, name: str = "one", low_stock: LowStock = None) -> Bridge:
    return Bridge(
        redis,
        Entrance(publisher, b"k" * 32),
        publisher,
        environment="dev",
        producer="bridge",
        low_stock=low_stock,
        idle_takeover_s=0.001,
        consumer=name,
        backoff_s=(0.01,),
    )


@asynccontextmanager
async def running(bridge: Bridge) -> AsyncIterator[Bridge]:
    """Runs the bridge for the length of the block, then drains it."""
    task = asyncio.create_task(bridge.run())
    try:
        yield bridge
    finally:
        bridge.stop()
        await asyncio.wait_for(task, 10)


async def add(redis: Redis, stream: str, **fields: str | bytes) -> str:
    entry_id = await redis.xadd(stream, dict(fields))  # type: ignore[arg-type]
    return text(entry_id)


async def pending(redis: Redis, stream: str = STREAM) -> int:
    summary: Any = await redis.xpending(stream, GROUP)
    return int(summary["pending"])


def request_ids(publisher: FakePublisher) -> list[str]:
    return [str(record.headers["ce_id"]) for record in publisher.on(REQUESTS)]


async def test_a_message_of_the_old_service_becomes_a_request_and_is_acknowledged(
    redis: Redis, publisher: FakePublisher
) -> None:
    entry = await add(redis, STREAM, message="disk is full")
    async with running(a_bridge(redis, publisher)):
        await publisher.until(records=1)
    [record] = publisher.records
    assert record.topic == REQUESTS
    assert publisher.values_on(REQUESTS)[0] == {"to": [{"slack": "default"}], "message": {"body": "disk is full"}}
    assert record.headers["ce_source"] == "bridge"
    assert request_ids(publisher) == [entry_request_id(STREAM, entry)]
    assert await pending(redis) == 0
    assert await redis.xlen(STREAM) == 1, "the legacy API still counts it; only DELETE /clear trims"


async def test_an_entry_with_an_id_of_its_own_keeps_it(redis: Redis, publisher: FakePublisher) -> None:
    await add(redis, STREAM, message="a", id="i-1")
    await add(redis, STREAM, message="b", event_id="e-2", id="i-2")
    await add(redis, STREAM, message="c", request_id="r-3", event_id="e-3", id="i-3")
    async with running(a_bridge(redis, publisher)):
        await publisher.until(records=3)
    assert request_ids(publisher) == ["i-1", "e-2", "r-3"]


async def test_what_waited_before_the_bridge_existed_is_copied_in_order(redis: Redis, publisher: FakePublisher) -> None:
    for number in range(1200):
        await add(redis, STREAM, message=f"m{number}")
    async with running(a_bridge(redis, publisher)):
        await publisher.until(records=1200)
    assert [value["message"]["body"] for value in publisher.values_on(REQUESTS)] == [f"m{n}" for n in range(1200)]
    assert await pending(redis) == 0


async def test_a_crash_between_kafkas_acknowledgement_and_xack_brings_the_same_ids_again(
    redis: Redis, publisher: FakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [await add(redis, STREAM, message=f"m{number}") for number in range(3)]
    at_xack = asyncio.Event()

    async def never(*_: object) -> int:
        at_xack.set()
        await asyncio.Event().wait()
        return 0

    with monkeypatch.context() as broken:
        broken.setattr(redis, "xack", never)
        task = asyncio.create_task(a_bridge(redis, publisher, name="dead").run())
        await asyncio.wait_for(at_xack.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await pending(redis) == 3

    async with running(a_bridge(redis, publisher, name="next")):
        await publisher.until(records=6)
    ids = [entry_request_id(STREAM, entry) for entry in entries]
    assert request_ids(publisher) == ids + ids
    assert await pending(redis) == 0


async def test_entries_of_a_dead_bridge_are_taken_over(redis: Redis, publisher: FakePublisher) -> None:
    await add(redis, STREAM, message="left behind")
    await redis.xgroup_create(STREAM, GROUP, id="0")
    await redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
    async with running(a_bridge(redis, publisher)):
        await publisher.until(records=1)
    assert publisher.values_on(REQUESTS)[0]["message"] == {"body": "left behind"}
    assert await pending(redis) == 0


def lost_so_far() -> float:
    labels = {"environment": "dev", "stream": STREAM}
    return REGISTRY.get_sample_value("bridge_lost_before_read_total", labels) or 0.0


async def test_entries_deleted_before_anybody_copied_them_are_counted_as_lost(
    redis: Redis, publisher: FakePublisher
) -> None:
    before = lost_so_far()
    gone = await add(redis, STREAM, message="trimmed by its producer")
    await redis.xgroup_create(STREAM, GROUP, id="0")
    await redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
    await redis.xdel(STREAM, gone)
    async with running(a_bridge(redis, publisher)):
        await add(redis, STREAM, message="still there")
        await publisher.until(records=1)
    assert lost_so_far() == before + 1


async def test_poison_goes_to_quarantine_with_its_bytes_and_the_neighbours_flow(
    redis: Redis, publisher: FakePublisher
) -> None:
    await add(redis, STREAM, message="before")
    no_text = await add(redis, STREAM, message=b"\xff\xfe")
    await add(redis, STREAM, payload='{"to": "ana", "colour": "red", "message": "hi"}')
    await add(redis, STREAM, something="else")
    await add(redis, STREAM, payload='{"to": {"all": true}, "message": "everybody!"}')
    await add(redis, STREAM, message="elsewhere", environment="prod")
    await add(redis, STREAM, message=b"x" * 2_000_000)
    await add(redis, STREAM, message="after")
    async with running(a_bridge(redis, publisher)):
        await publisher.until(records=8)
    assert [value["message"]["body"] for value in publisher.values_on(REQUESTS)] == ["before", "after"]
    refused = publisher.on(QUARANTINE)
    assert refused[0].value == b'{"message": "base64://4="}'
    assert refused[0].headers["x-dlq-origin"] == f"{STREAM}/{no_text}"
    assert {record.headers["x-dlq-reason"] for record in refused} == {"invalid_request"}
    pointers = [json.loads(record.headers["x-dlq-errors"])[0]["pointer"] for record in refused]
    assert pointers == ["/message", "/colour", "/message", "/to", "/environment", ""]
    assert len(refused[-1].value or b"") < 10_000
    assert await pending(redis) == 0


async def test_without_kafka_nothing_is_acknowledged_and_everything_comes_once_it_is_back(
    redis: Redis, publisher: FakePublisher
) -> None:
    publisher.is_away = True
    await add(redis, STREAM, message="patience")
    async with running(a_bridge(redis, publisher)) as bridge:
        await publisher.until(attempts=3)
        assert await pending(redis) == 1
        assert bridge.health.pending == 1
        assert bridge.health.waiting_for is not None
        publisher.is_away = False
        await publisher.until(records=1)
    assert await pending(redis) == 0
    assert bridge.health.pending == 0
    assert bridge.health.waiting_for is None


async def test_a_bridge_stopped_while_kafka_is_away_leaves_its_entries_to_the_next(
    redis: Redis, publisher: FakePublisher
) -> None:
    publisher.is_away = True
    await add(redis, STREAM, message="unfinished")
    async with running(a_bridge(redis, publisher, name="first")):
        await publisher.until(attempts=1)
    assert await pending(redis) == 1
    publisher.is_away = False
    async with running(a_bridge(redis, publisher, name="second")):
        await publisher.until(records=1)
    assert await pending(redis) == 0


async def test_one_failed_entry_does_not_hold_up_its_batch(redis: Redis, publisher: FakePublisher) -> None:
    for number in range(5):
        await add(redis, STREAM, message=f"m{number}")
    publisher.fail_next(2)
    async with running(a_bridge(redis, publisher)):
        await publisher.until(records=5)
    assert sorted(value["message"]["body"] for value in publisher.values_on(REQUESTS)) == [f"m{n}" for n in range(5)]
    assert await pending(redis) == 0


async def test_a_redis_that_came_back_empty_gets_its_group_again(redis: Redis, publisher: FakePublisher) -> None:
    await add(redis, STREAM, message="before")
    async with running(a_bridge(redis, publisher)):
        await publisher.until(records=1)
        await redis.flushall()
        await add(redis, STREAM, message="after")
        await publisher.until(records=2)
    assert publisher.values_on(REQUESTS)[1]["message"] == {"body": "after"}
    assert await pending(redis) == 0


async def test_a_drained_bridge_takes_its_name_off_the_group(redis: Redis, publisher: FakePublisher) -> None:
    await add(redis, STREAM, message="bye")
    async with running(a_bridge(redis, publisher)):
        await publisher.until(records=1)
    assert await redis.xinfo_consumers(STREAM, GROUP) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"product_id": "7", "stock": "2"},
        {"data": '{"product_id": "7", "stock": "2"}'},
        {"message": '{"product_id": "7", "stock": "2"}'},
    ],
)
async def test_low_stock_is_one_type_however_it_is_wrapped(
    redis: Redis, publisher: FakePublisher, fields: dict[str, str]
) -> None:
    entry = await add(redis, LOW_STOCK_STREAM, **fields)
    async with running(a_bridge(redis, publisher, low_stock="stream")):
        await publisher.until(records=1)
    assert publisher.values_on(REQUESTS) == [
        {
            "type": "inventory.low-stock",
            "to": [{"topic": "inventory.low-stock"}],
            "variables": {"product_id": "7", "stock": "2"},
        }
    ]
    assert request_ids(publisher) == [entry_request_id(LOW_STOCK_STREAM, entry)]


async def until_subscribed(redis: Redis, count: int = 1) -> None:
    async with asyncio.timeout(10):
        # the server tells nobody who subscribes, so it is asked
        while (await redis.pubsub_numsub(LOW_STOCK_CHANNEL))[0][1] < count:
            await asyncio.sleep(0.01)


async def test_the_channel_alone_serves_publishers_that_write_no_stream(redis: Redis, publisher: FakePublisher) -> None:
    await add(redis, LOW_STOCK_STREAM, product_id="not read")
    async with running(a_bridge(redis, publisher, low_stock="channel")):
        await until_subscribed(redis)
        await redis.publish(LOW_STOCK_CHANNEL, '{"product_id": 7, "event_id": "e-1"}')
        await redis.publish(LOW_STOCK_CHANNEL, "not json")
        await publisher.until(records=2)
    assert publisher.values_on(REQUESTS)[0]["variables"] == {"product_id": 7}
    assert request_ids(publisher) == ["e-1"]
    assert publisher.on(QUARANTINE)[0].value == b"not json"


async def test_two_bridges_that_hear_one_message_give_it_one_id(redis: Redis, publisher: FakePublisher) -> None:
    first, second = (a_bridge(redis, publisher, name=name, low_stock="channel") for name in ("one", "two"))
    async with running(first), running(second):
        await until_subscribed(redis, 2)
        await redis.publish(LOW_STOCK_CHANNEL, '{"product_id": 7}')
        await publisher.until(records=2)
    assert len(set(request_ids(publisher))) == 1


async def test_with_both_sources_a_message_without_an_id_is_refused(redis: Redis, publisher: FakePublisher) -> None:
    async with running(a_bridge(redis, publisher, low_stock="both")):
        await until_subscribed(redis)
        await add(redis, LOW_STOCK_STREAM, product_id="7", event_id="e-1")
        await redis.publish(LOW_STOCK_CHANNEL, '{"product_id": "7", "event_id": "e-1"}')
        await redis.publish(LOW_STOCK_CHANNEL, '{"product_id": "8"}')
        await publisher.until(records=3)
    assert request_ids(publisher) == ["e-1", "e-1"]
    assert publisher.values_on(REQUESTS)[0] == publisher.values_on(REQUESTS)[1]
    [refused] = publisher.on(QUARANTINE)
    assert json.loads(refused.headers["x-dlq-errors"])[0]["pointer"] == "/request_id"
