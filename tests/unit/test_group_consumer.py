"""The consumer's bookkeeping against a scripted client: what is held, buried, committed, told."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from infrastructure.kafka import consumer as module
from infrastructure.kafka.consumer import CRASHES_BEFORE_BURYING, GroupConsumer
from infrastructure.metrics import GAPS
from infrastructure.ports import Received
from infrastructure.settings import Settings
from schemas.outcomes import Unavailable

ORDINARY, URGENT = TopicPartition("orders", 0), TopicPartition("orders.urgent", 0)


class FakeClient:
    """aiokafka's consumer as far as the bookkeeping touches it."""

    def __init__(self, committed: dict[TopicPartition, int] | None = None, log_start: int = 0) -> None:
        self.log_start = log_start
        self.committed_at = dict(committed or {})
        self.commits: list[dict[TopicPartition, int]] = []
        self.fails: Exception | None = None
        self.paused: set[TopicPartition] = set()

    async def committed(self, partition: TopicPartition) -> int | None:
        return self.committed_at.get(partition)

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.log_start)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.fails is not None:
            raise self.fails
        self.commits.append(offsets)

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused -= set(partitions)


class ScriptedHandler:
    """Raises what its script says for an offset, else takes the record; waits while it is closed."""

    def __init__(self) -> None:
        self.script: dict[int, list[Exception]] = {}
        self.handled: list[int] = []
        self.waiting: set[int] = set()
        self.buried: list[tuple[int, str]] = []
        self.cannot_bury = 0
        self.open = asyncio.Event()
        self.open.set()

    async def handle(self, record: Received) -> None:
        self.waiting.add(record.offset)
        await self.open.wait()
        self.waiting.discard(record.offset)
        if self.script.get(record.offset):
            raise self.script[record.offset].pop(0)
        self.handled.append(record.offset)

    async def bury(self, record: Received, error: Exception) -> None:
        if self.cannot_bury:
            self.cannot_bury -= 1
            raise Unavailable("Kafka is away")
        self.buried.append((record.offset, type(error).__name__))


class Member:
    """A group consumer with its client and handler in the test's hands."""

    def __init__(self, client: FakeClient, **settings: Any) -> None:
        self.client, self.handler = client, ScriptedHandler()
        values = {"worker_concurrency": 2, "drain_timeout_s": 5, **settings}
        self.group = f"test.{id(self)}"
        self.consumer = GroupConsumer(
            Settings(_env_file=None, deployment="local", **values), self.group, ["orders"], self.handler
        )
        self.consumer._consumer = client

    async def assigned(self, *partitions: TopicPartition) -> "Member":
        await self.consumer.on_partitions_assigned(partitions or (ORDINARY,))
        return self

    def reads(self, *offsets: int, partition: TopicPartition = ORDINARY, key: bytes | None = None) -> None:
        self.consumer._take(partition, [_as_read(partition, offset, key) for offset in offsets])

    async def settled(self) -> None:
        assert await self.consumer._budgets.drained(10)
        await self.consumer._look_into_gaps(self.client)

    def balances(self) -> None:
        in_flight = {tp: mark.in_flight for tp, mark in self.consumer._marks.items()}
        self.consumer._budgets.balance(self.client, in_flight)

    async def commits(self) -> list[int | None]:
        await self.consumer._commit()
        return [made.get(ORDINARY) for made in self.client.commits]

    @property
    def gaps(self) -> float:
        return sum(sample.value for metric in GAPS.collect() for sample in metric.samples if self._mine(sample))

    def _mine(self, sample: Any) -> bool:
        return bool(sample.labels.get("group") == self.group and sample.name.endswith("_total"))


def _as_read(partition: TopicPartition, offset: int, key: bytes | None) -> Any:
    return SimpleNamespace(topic=partition.topic, partition=0, offset=offset, timestamp=0, key=key, value=b"{}", headers=())


@pytest.fixture(autouse=True)
def _quick_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HOLD_FIRST_S", 0.0)


async def test_what_is_settled_is_committed_once() -> None:
    member = await Member(FakeClient()).assigned()
    member.reads(0, 1, 2)
    await member.settled()
    assert await member.commits() == [3]
    assert await member.commits() == [3]


async def test_a_record_that_is_held_keeps_the_offset_and_not_its_neighbours() -> None:
    member = await Member(FakeClient()).assigned()
    member.handler.open.clear()
    member.reads(0, key=b"stuck")
    assert await member.commits() == []
    member.handler.open.set()
    member.reads(1)
    await member.settled()
    assert await member.commits() == [2]


async def test_while_our_floor_is_out_the_record_is_held_and_never_buried() -> None:
    member = await Member(FakeClient()).assigned()
    member.handler.script[0] = [Unavailable("DynamoDB")] * 20
    member.reads(0)
    await member.settled()
    assert (member.handler.handled, member.handler.buried) == ([0], [])


async def test_a_record_that_keeps_crashing_is_buried_and_the_next_one_flows() -> None:
    member = await Member(FakeClient()).assigned()
    member.handler.script[0] = [KeyError("bug")] * CRASHES_BEFORE_BURYING
    member.reads(0, 1, key=b"ana")
    await member.settled()
    assert (member.handler.buried, member.handler.handled) == ([(0, "KeyError")], [1])
    assert await member.commits() == [2]


async def test_a_record_that_cannot_be_buried_is_held_not_dropped() -> None:
    member = await Member(FakeClient()).assigned()
    member.handler.script[0] = [KeyError("bug")] * (CRASHES_BEFORE_BURYING + 2)
    member.handler.cannot_bury = 2
    member.reads(0)
    await member.settled()
    assert member.handler.buried == [(0, "KeyError")]
    assert member.handler.script[0] == []


async def test_work_of_an_earlier_assignment_does_not_count_for_the_new_one() -> None:
    member = await Member(FakeClient(), drain_timeout_s=0.01).assigned()
    member.handler.open.clear()
    member.reads(0)
    stale = module.Work(Received("orders", 0, 0, 0, None, b"{}"), ORDINARY, member.consumer._epoch)
    await member.consumer.on_partitions_revoked([ORDINARY])
    await member.assigned()
    member.reads(0)
    member.consumer._finish(stale)
    assert await member.commits() == []


async def test_a_revoked_partition_is_drained_and_committed_before_it_goes() -> None:
    member = await Member(FakeClient()).assigned()
    member.reads(0, 1)
    await member.consumer.on_partitions_revoked([ORDINARY])
    assert [made[ORDINARY] for made in member.client.commits] == [2]
    member.reads(2)
    assert member.consumer.health().in_flight == 0


async def test_a_commit_the_group_refuses_is_forgotten_and_one_that_fails_is_raised() -> None:
    member = await Member(FakeClient()).assigned()
    member.reads(0)
    await member.settled()
    member.client.fails = CommitFailedError()
    assert await member.commits() == []
    member.client.fails = KafkaError("away")
    with pytest.raises(KafkaError):
        await member.commits()
    member.client.fails = None
    assert await member.commits() == [1]


async def test_records_that_retention_deleted_are_counted() -> None:
    member = await Member(FakeClient({ORDINARY: 3}, log_start=9)).assigned()
    member.reads(5, 6, 9)
    await member.settled()
    assert member.gaps == 4
    assert await member.commits() == [10]


async def test_the_markers_of_a_transaction_are_no_gap() -> None:
    member = await Member(FakeClient({ORDINARY: 3})).assigned()
    member.reads(5, 6, 9)
    await member.settled()
    assert member.gaps == 0


async def test_a_group_that_never_committed_has_no_gap() -> None:
    member = await Member(FakeClient()).assigned()
    member.reads(100)
    await member.settled()
    assert member.gaps == 0


async def test_a_full_house_pauses_its_own_priority_and_no_other() -> None:
    member = await Member(FakeClient(), worker_concurrency=1).assigned(ORDINARY, URGENT)
    member.handler.open.clear()
    member.reads(*range(9))
    member.balances()
    assert member.client.paused == {ORDINARY}
    member.handler.open.set()
    member.reads(0, partition=URGENT)
    await member.settled()
    member.balances()
    assert member.client.paused == set()


async def test_urgent_work_does_not_wait_for_a_place_among_the_ordinary() -> None:
    member = await Member(FakeClient(), worker_concurrency=1).assigned(ORDINARY, URGENT)
    member.handler.script[0] = [Unavailable("slow")] * 3
    member.handler.open.clear()
    member.reads(0, 1, 2)
    member.reads(7, partition=URGENT)
    await asyncio.sleep(0)
    assert member.handler.waiting == {0, 7}
    member.handler.open.set()
    await member.settled()
    assert sorted(member.handler.handled) == [0, 1, 2, 7]
