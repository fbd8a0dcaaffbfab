"""A worker on a broker in memory: what is held, buried, committed, told, replaced; and how it ends."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from infrastructure.kafka.consuming import member as member_module
from infrastructure.kafka.consuming import settling
from infrastructure.kafka.consuming.member import HandlerBuriesEverything
from infrastructure.kafka.consuming.port import ClientFailed, Partition
from infrastructure.kafka.consuming.settling import CRASHES_BEFORE_BURYING
from infrastructure.metrics import GAPS
from infrastructure.ports import Gap
from schemas.outcomes import Unavailable
from tests.fakes.log import FakeBroker
from tests.unit.workshop import GROUP, ORDINARY, URGENT, Worker, produced


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settling, "_HOLD_FIRST_S", 0.0)
    monkeypatch.setattr(settling, "_HOLD_MOST_S", 0.05)
    monkeypatch.setattr(member_module, "POLL_S", 0.01)
    monkeypatch.setattr(member_module, "BOOKS_EVERY_S", 0.0)
    monkeypatch.setattr(member_module, "ANSWER_S", 0.5)
    monkeypatch.setattr(member_module, "STOP_S", 0.2)
    yield


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker({"orders": 2, "orders.urgent": 1})


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


# -- holding back


async def test_a_full_house_pauses_its_own_priority_and_no_other(broker: FakeBroker) -> None:
    async with Worker(broker, worker_concurrency=1) as worker:
        worker.handler.open.clear()
        await produced(broker, 9)
        await worker.until(lambda: worker.client.paused)
        assert worker.client.paused == {ORDINARY, Partition("orders", 1)}
        assert worker.consumer.health().paused == ("normal",)
        worker.handler.open.set()
        await worker.until(lambda: not worker.client.paused)


async def test_urgent_work_does_not_wait_for_a_place_among_the_ordinary(broker: FakeBroker) -> None:
    async with Worker(broker, worker_concurrency=1) as worker:
        worker.handler.open.clear()
        await produced(broker, 3, key=b"ana")
        await worker.until(lambda: worker.handler.waiting == {0})
        await broker.produce("orders.urgent")
        await worker.until(lambda: worker.consumer.health().in_flight == 4)
        worker.handler.open.set()
        await worker.committed(1, URGENT)


class Door:
    def __init__(self) -> None:
        self.wait_s = 0.0

    def closed_for_s(self) -> float:
        return self.wait_s


async def test_a_closed_gate_holds_everything_back_until_it_opens(broker: FakeBroker) -> None:
    door = Door()
    async with Worker(broker, gate=door, kafka_stall_s=0.2) as worker:
        door.wait_s = 30.0
        await worker.until(lambda: len(worker.client.paused) == 3)
        await produced(broker, 1)
        await worker.until(lambda: worker.consumer._member and worker.consumer._member.ends.get(ORDINARY) == 1)
        await asyncio.sleep(0.5)  # longer than a stall
        assert (worker.handler.handled, len(broker.clients)) == ([], 1), "held back by ourselves is no stall"
        assert worker.consumer.health().gate_closed_for_s == 30.0
        door.wait_s = 0.0
        await worker.committed(1)


# -- replaced


async def test_a_client_that_fails_is_replaced_and_nothing_is_lost(broker: FakeBroker, no_waits: None) -> None:
    async with Worker(broker) as worker:
        await produced(broker, 1)
        await worker.committed(1)
        worker.client.fails = ClientFailed("broken")
        await worker.until(lambda: len(broker.clients) == 2)
        await produced(broker, 1)
        await worker.committed(2)
    assert worker.handler.handled == [0, 1]


async def test_a_client_that_fetches_no_more_is_replaced(broker: FakeBroker, no_waits: None) -> None:
    async with Worker(broker, kafka_stall_s=0.2) as worker:
        worker.client.is_silent = True
        await produced(broker, 2)
        await worker.committed(2)
    assert len(broker.clients) == 2


async def test_a_quiet_log_is_no_stall(broker: FakeBroker) -> None:
    async with Worker(broker, kafka_stall_s=0.1) as worker:
        await produced(broker, 1)
        await worker.committed(1)
        await asyncio.sleep(0.4)
    assert len(broker.clients) == 1


async def test_a_client_that_left_the_group_for_good_is_replaced(
    broker: FakeBroker, no_waits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.kafka.consuming.consumer.rebalance_timeout_s", lambda _: 0.1)
    async with Worker(broker, kafka_stall_s=0.1) as worker:
        worker.client.has_left = True
        await worker.until(lambda: len(broker.clients) == 2)


async def test_a_commit_that_hangs_costs_the_client_and_no_record(broker: FakeBroker, no_waits: None) -> None:
    async with Worker(broker) as worker:
        worker.client.commits_hang = True
        await produced(broker, 1)
        await worker.until(lambda: len(broker.clients) == 2)
        await worker.committed(1)
    assert set(worker.handler.handled) == {0}


async def test_a_commit_whose_answer_was_lost_is_not_taken_back(broker: FakeBroker, no_waits: None) -> None:
    async with Worker(broker) as worker:
        worker.client.answer_is_lost = True
        await produced(broker, 1)
        await worker.until(lambda: len(broker.clients) == 2)
        await produced(broker, 1)
        await worker.committed(2)
    assert worker.handler.handled == [0, 1]


async def test_a_broker_that_is_away_makes_nobody_look_dead(broker: FakeBroker, no_waits: None) -> None:
    async with Worker(broker, kafka_stall_s=0.1) as worker:
        broker.is_away = True
        await worker.until(lambda: len(broker.clients) > 3)
        assert worker.consumer.alive
        broker.is_away = False
        await produced(broker, 1)
        await worker.committed(1)


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.kafka.consuming.consumer._WAIT_FIRST_S", 0.001)


# -- health


async def test_a_handler_that_hangs_makes_its_worker_look_dead(broker: FakeBroker) -> None:
    async with Worker(broker, handler_stuck_s=0.1) as worker:
        worker.handler.open.clear()
        await produced(broker, 1)
        await worker.until(lambda: not worker.consumer.alive)
        assert worker.consumer.health().oldest_in_flight_age_s >= 0.1


async def test_records_held_in_an_outage_make_nobody_look_dead(broker: FakeBroker) -> None:
    async with Worker(broker, handler_stuck_s=0.1) as worker:
        worker.handler.script[0] = [Unavailable("DynamoDB")] * 10_000
        await produced(broker, 1)
        await worker.until(lambda: worker.consumer.health().oldest_in_flight_age_s > 0.3)
        assert worker.consumer.alive
        assert (await worker.until(worker.consumer.health)).in_flight == 1
        await worker.until(lambda: worker.consumer.health().held == {"DynamoDB": 1})
        worker.handler.script[0] = []


async def test_health_tells_where_each_partition_stands(broker: FakeBroker) -> None:
    async with Worker(broker, kafka_stall_s=0.5) as worker:
        await produced(broker, 3)
        await worker.committed(3)
        await worker.until(lambda: _partition(worker).get("end") == 3)
        assert _partition(worker) == {"position": 3, "end": 3, "committed": 3}
        told = worker.consumer.health().as_json()
    assert (told["assigned"], told["epoch"], told["in_flight"], told["alive"]) == (3, 1, 0, True)


def _partition(worker: Worker) -> dict[str, Any]:
    found: dict[str, Any] = worker.consumer.health().as_json()["partitions"].get("orders/0", {})
    return found


# -- a handler that buries everything


async def test_a_worker_whose_handler_buries_everything_stops(broker: FakeBroker) -> None:
    async with Worker(broker, burial_limit=5) as worker:
        worker.handler.crashes_on = lambda _: True
        await produced(broker, 40)
        await asyncio.wait({worker.running}, timeout=10)
        with pytest.raises(HandlerBuriesEverything):
            await worker.running
    assert len(worker.handler.buried) == 5, "not one more"
    settled = worker.group.committed.get(ORDINARY, 0)
    assert set(range(settled)) <= {offset for offset, _ in worker.handler.buried}
    assert worker.group.members == [], "it has left its group"


async def test_bad_records_of_one_producer_stop_nobody(broker: FakeBroker) -> None:
    async with Worker(broker, burial_limit=5) as worker:
        worker.handler.crashes_on = lambda record: ("ce_source", b"bad") in record.headers
        await produced(broker, 1, headers=(("ce_source", b"good"),))
        await worker.committed(1)
        await produced(broker, 20, headers=(("ce_source", b"bad"),))
        await worker.committed(21)
        await produced(broker, 1, headers=(("ce_source", b"good"),))
        await worker.committed(22)
    assert len(worker.handler.buried) == 20


async def test_a_burial_that_fails_stops_the_commit_also_at_the_limit(broker: FakeBroker) -> None:
    async with Worker(broker, burial_limit=1) as worker:
        worker.handler.crashes_on = lambda _: True
        worker.handler.cannot_bury = 1_000
        await produced(broker, 3)
        await asyncio.wait({worker.running}, timeout=10)
        with pytest.raises(HandlerBuriesEverything):
            await worker.running
    assert (worker.handler.buried, worker.group.commits) == ([], [])
