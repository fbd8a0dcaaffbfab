"""A worker on a broker in memory: what is held, buried and committed, between assignments, at its end, over a gap."""

import asyncio

import pytest

from infrastructure.kafka.consuming.settling import CRASHES_BEFORE_BURYING
from infrastructure.metrics import GAPS
from infrastructure.ports import Gap
from schemas.outcomes import Unavailable
from tests.fakes.log import FakeBroker
from tests.unit.workshop import GROUP, ORDINARY, URGENT, Worker, produced

pytestmark = pytest.mark.usefixtures("quick_worker")


def lost_records() -> float:
    return sum(
        sample.value
        for metric in GAPS.collect()
        for sample in metric.samples
        if sample.labels.get("group") == GROUP and sample.name.endswith("_total")
    )


# -- held, buried, committed


async def test_what_is_settled_is_committed_once(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        await produced(broker, 3)
        await worker.committed(3)
    assert worker.handler.handled == [0, 1, 2]
    offsets = [made[ORDINARY] for _, made in worker.group.commits]
    assert offsets == sorted(set(offsets))


async def test_a_record_that_is_held_keeps_the_offset_and_not_its_neighbours(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        worker.handler.script[0] = [Unavailable("DynamoDB")] * 10_000
        await produced(broker, 1, key=b"stuck")
        await produced(broker, 1, key=b"free")
        await worker.until(lambda: worker.handler.handled == [1])
        assert worker.group.commits == []
        worker.handler.script[0] = []
        await worker.committed(2)
    assert worker.handler.handled == [1, 0]


async def test_while_our_floor_is_out_the_record_is_held_and_never_buried(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        worker.handler.script[0] = [Unavailable("DynamoDB")] * 20
        await produced(broker, 1)
        await worker.committed(1)
    assert (worker.handler.handled, worker.handler.buried) == ([0], [])


async def test_a_record_that_keeps_crashing_is_buried_and_the_next_one_flows(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        worker.handler.script[0] = [KeyError("bug")] * CRASHES_BEFORE_BURYING
        await produced(broker, 2, key=b"ana")
        await worker.committed(2)
    assert (worker.handler.buried, worker.handler.handled) == ([(0, "KeyError")], [1])


async def test_a_record_that_cannot_be_buried_is_held_not_dropped(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        worker.handler.script[0] = [KeyError("bug")] * 1_000
        worker.handler.cannot_bury = 1_000
        await produced(broker, 1)
        await worker.until(lambda: worker.handler.cannot_bury < 995)
        assert worker.group.commits == []
        worker.handler.cannot_bury = 0
        await worker.committed(1)
    assert worker.handler.buried == [(0, "KeyError")]


# -- between assignments


async def test_a_revoked_partition_is_drained_and_committed_before_it_goes(broker: FakeBroker) -> None:
    async with Worker(broker) as first:
        first.handler.open.clear()
        await produced(broker, 2)
        await first.until(lambda: first.handler.waiting == {0, 1})
        joining = asyncio.create_task(_works_until_ready(second := Worker(broker)))
        await first.until(lambda: not first.consumer._member or not first.consumer._member.books.is_open)
        await produced(broker, 1)  # comes too late for the first owner
        first.handler.open.set()
        await joining
        await first.until(lambda: sorted(first.handler.handled + second.handler.handled) == [0, 1, 2])
        await second.__aexit__()
    assert first.group.commits[0] == (1, {ORDINARY: 2}), "committed by its first owner, under its first generation"


async def _works_until_ready(worker: Worker) -> None:
    await worker.__aenter__()


async def test_work_that_outlives_its_assignment_counts_for_nothing(broker: FakeBroker) -> None:
    async with Worker(broker, drain_timeout_s=0.05) as worker:
        worker.handler.open.clear()
        await produced(broker, 1)
        await worker.until(lambda: worker.handler.waiting == {0})
        await worker.group.rebalance()
        assert worker.group.commits == []
        worker.handler.open.set()
        await worker.committed(1)
    assert worker.handler.handled == [0]
    assert [generation for generation, _ in worker.group.commits] == [2]


async def test_a_commit_under_way_across_a_rebalance_moves_nothing_under_the_next_generation(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        answer = worker.client.hold_commits()
        await produced(broker, 1)
        await worker.until(lambda: worker.client.commits_waiting)
        await worker.group.rebalance()
        answer.set()
        await worker.committed(1)
    assert worker.group.commits
    assert 1 not in {generation for generation, _ in worker.group.commits}, "the late one counted for nothing"


async def test_a_clean_stop_repeats_nothing(broker: FakeBroker) -> None:
    async with Worker(broker) as first:
        await produced(broker, 40)
        await first.until(lambda: len(first.handler.handled) > 5)
    async with Worker(broker) as second:
        await second.committed(40)
    assert sorted(first.handler.handled + second.handler.handled) == list(range(40))


async def test_a_stop_waits_for_what_is_in_hand_and_not_for_what_hangs(broker: FakeBroker) -> None:
    async with Worker(broker, drain_timeout_s=0.1) as worker:
        worker.handler.open.clear()
        await produced(broker, 1)
        await worker.until(lambda: worker.handler.waiting == {0})
        worker.consumer.stop()
        await asyncio.wait_for(worker.running, 5)
    assert worker.group.commits == []


async def test_a_client_that_never_stops_is_left_behind(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        worker.client.never_stops = True
        worker.consumer.stop()
        await asyncio.wait_for(worker.running, 5)


# -- gaps


async def test_records_that_retention_deleted_are_recorded_counted_and_passed(broker: FakeBroker) -> None:
    before = lost_records()
    await produced(broker, 10)
    broker.groups[GROUP].committed[ORDINARY] = 3
    await broker.truncate(ORDINARY, 9)
    async with Worker(broker) as worker:
        await worker.committed(10)
    assert worker.gaps.recorded == [Gap(GROUP, "orders", 0, 3, 9)]
    assert lost_records() - before == 6


async def test_a_gap_is_seen_before_any_record_comes_after_it(broker: FakeBroker) -> None:
    await produced(broker, 9)
    broker.groups[GROUP].committed[ORDINARY] = 3
    await broker.truncate(ORDINARY, 9)
    async with Worker(broker) as worker:
        await worker.until(lambda: worker.gaps.recorded)
    assert worker.gaps.recorded == [Gap(GROUP, "orders", 0, 3, 9)]


async def test_nothing_behind_a_gap_is_committed_before_the_gap_is_recorded(broker: FakeBroker) -> None:
    await produced(broker, 10)
    broker.groups[GROUP].committed[ORDINARY] = 3
    await broker.truncate(ORDINARY, 9)
    worker = Worker(broker)
    worker.gaps.is_away = True
    async with worker:
        await worker.until(lambda: worker.handler.handled == [9])
        await broker.produce("orders.urgent")
        await worker.committed(1, URGENT)
        assert worker.group.committed[ORDINARY] == 3
        worker.gaps.is_away = False
        await worker.committed(10)


async def test_the_markers_of_a_transaction_are_no_gap(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        await produced(broker, 1)
        broker.skip(ORDINARY)
        await produced(broker, 1)
        await worker.committed(3)
    assert worker.gaps.recorded == []


async def test_a_group_that_never_committed_has_no_gap(broker: FakeBroker) -> None:
    await produced(broker, 10)
    await broker.truncate(ORDINARY, 7)
    async with Worker(broker) as worker:
        await worker.committed(10)
    assert worker.gaps.recorded == []
