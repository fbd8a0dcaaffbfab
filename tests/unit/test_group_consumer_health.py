"""A worker on a broker in memory: what it holds back, when its client is replaced, how it says it is, when it gives up."""

import asyncio
from typing import Any

import pytest

from infrastructure.kafka.consuming.member import HandlerBuriesEverything
from infrastructure.kafka.consuming.port import ClientFailed, Partition
from schemas.outcomes import Unavailable
from tests.fakes.log import FakeBroker
from tests.unit.workshop import ORDINARY, URGENT, Worker, produced

pytestmark = pytest.mark.usefixtures("quick_worker")


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


async def test_a_person_with_many_records_keeps_nobody_else_out(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        worker.handler.sticks_on(b"ana")
        await produced(broker, 60, key=b"ana")
        await worker.until(lambda: worker.consumer.health().in_flight == 60)
        await produced(broker, 60, key=b"ben")
        await produced(broker, 60, key=b"cem")
        await worker.until(lambda: len(worker.handler.handled) == 120)
        assert worker.handler.handled == sorted(worker.handler.handled)
        assert not worker.client.paused
        worker.handler.open.set()
        await worker.committed(180)
        assert worker.handler.handled[120:] == list(range(60)), "each in its turn"


async def test_a_person_with_more_than_one_can_hold_pauses_their_own_partition_alone(broker: FakeBroker) -> None:
    async with Worker(broker) as worker:
        worker.handler.sticks_on(b"ana")
        await produced(broker, 70, key=b"ana")
        await worker.until(lambda: worker.client.paused)
        assert worker.client.paused == {ORDINARY}
        await produced(broker, 40, key=b"ben", number=1)
        await worker.committed(40, Partition("orders", 1))
        worker.handler.open.set()
        await worker.until(lambda: not worker.client.paused)
        await worker.committed(70)


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
        await worker.until(lambda: worker.consumer._member and worker.consumer._member.watch.ends.get(ORDINARY) == 1)
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
