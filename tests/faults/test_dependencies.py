"""Broker, Redis, store and provider fail under load and come back: everything ends, and no worker is restarted for it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx2
import pytest
import pytest_asyncio

from infrastructure.local.addresses import Addresses
from infrastructure.local.processes import Child, Processes
from infrastructure.resources import Resources
from tests.engines import Engines
from tests.eventually import eventually
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.dynamo_proxy import DynamoProxy, Fault, dynamo_proxy
from tests.faults.flow import Doors, a_flow, every_item_is_stored

AWAY_S = 3.0


@dataclass(frozen=True)
class Behind:
    """A worker that reaches the store only through a proxy."""

    worker: Child
    proxy: DynamoProxy


@pytest_asyncio.fixture(scope="module")
async def behind(
    processes: Processes, variables: Mapping[str, str], stack: Addresses, uat: None, sandbox: object
) -> AsyncIterator[Behind]:
    async with dynamo_proxy(stack.dynamodb_port, seed=4) as proxy:
        crew = Crew(processes, variables, {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{proxy.port}"})
        yield Behind(await crew.add(), proxy)
        proxy.faults = ()
        await crew.stop_all()


async def test_a_broker_that_dies_is_waited_for(run: str, crew: Crew, doors: Doors, judge: Judge, engines: Engines) -> None:
    worker = await crew.add()
    flow = a_flow(run, 200)
    sending = asyncio.create_task(doors.hand_in_slowly(flow, per_s=40))
    await asyncio.wait([sending], timeout=1)
    await engines.kill("kafka")
    await asyncio.wait([sending], timeout=AWAY_S)
    await engines.start_kafka_again()
    back = time.monotonic()
    await sending

    report = await judge.verdict(flow, since=back)
    assert report.duplicates == ()
    assert worker.is_alive


async def test_redis_that_comes_back_empty_costs_nothing(
    run: str, crew: Crew, doors: Doors, judge: Judge, engines: Engines
) -> None:
    """What was in a stream and not yet in Kafka goes with it; everything that Kafka has goes on, and so does the bridge."""
    worker = await crew.add()
    flow = a_flow(run, 100)
    sending = asyncio.create_task(doors.hand_in_slowly(flow, per_s=40))
    await asyncio.wait([sending], timeout=1)
    await engines.kill("valkey")
    await asyncio.wait([sending], timeout=AWAY_S)
    await engines.start_valkey_empty()
    back = time.monotonic()
    over_redis = a_flow(run, 20, doors=("redis",))
    await doors.hand_in(over_redis)
    await sending

    report = await judge.verdict([*flow, *over_redis], since=back)
    assert report.duplicates == ()
    assert worker.is_alive


@pytest.mark.parametrize(
    "faults",
    [
        (Fault("throttle", 0.2), Fault("throttle_table", 0.1)),
        (Fault("lose_answer", 0.05),),
        (Fault("partial", 0.4),),
        (Fault("conflict", 0.1, frozenset({"UpdateItem", "PutItem"})), Fault("error", 0.1)),
    ],
    ids=["throttling", "lost_answers", "partial_batches", "conflicts_and_errors"],
)
async def test_a_store_that_is_not_well_slows_us_down_and_no_more(
    faults: tuple[Fault, ...], run: str, behind: Behind, doors: Doors, judge: Judge
) -> None:
    behind.proxy.faults = faults
    behind.proxy.done.clear()
    flow = a_flow(run, 60)
    await doors.hand_in(flow)

    report = await judge.verdict(flow, since=time.monotonic())
    judge.say(str(dict(behind.proxy.done)))
    assert all(behind.proxy.done[fault.kind] > 0 for fault in faults), "the fault was met"
    assert report.duplicates == ()
    assert behind.worker.is_alive


async def test_a_store_that_is_silent_stops_sends_and_nothing_else(
    run: str, behind: Behind, doors: Doors, judge: Judge
) -> None:
    """No claim, no send: while the store says nothing, the provider hears nothing."""
    behind.proxy.faults = (Fault("hang"),)
    flow = a_flow(run, 30)
    await doors.hand_in(flow)
    await asyncio.sleep(AWAY_S)
    assert judge.calls() == []
    behind.proxy.faults = ()
    back = time.monotonic()

    report = await judge.verdict(flow, since=back)
    assert report.duplicates == ()
    assert behind.worker.is_alive


async def test_a_provider_that_hangs_is_asked_again_and_holds_up_its_own_channel_alone(
    run: str, crew: Crew, doors: Doors, judge: Judge, provider: httpx2.AsyncClient, resources: Resources
) -> None:
    """Each call ends by its own deadline and is repeated; the inbox fills meanwhile; the mails go out once it is back."""
    worker = await crew.add()
    await provider.put("/faults/email", json={"mode": "hang"})
    flow = a_flow(run, 60)
    await doors.hand_in(flow)

    async def asked_again() -> bool:
        calls = (await provider.get("/calls", params={"provider": "email", "limit": 1000})).json()
        asked = Counter(call["delivery"] for call in calls if run in str(call["request"]))
        return any(times > 1 for times in asked.values())

    await eventually(lambda: every_item_is_stored(flow, resources))
    await eventually(asked_again)
    assert judge.calls() == []
    await provider.put("/faults/email", json={"mode": "ok"})
    back = time.monotonic()

    report = await judge.verdict(flow, since=back)
    assert report.duplicates == ()
    assert worker.is_alive


async def test_a_provider_that_loses_answers_is_told_again_at_most_as_often(
    run: str, crew: Crew, doors: Doors, judge: Judge, provider: httpx2.AsyncClient
) -> None:
    lost_answers = 7
    await crew.add()
    await provider.put("/faults/email", json={"mode": "drop_answer", "times": lost_answers})
    again, once = a_flow(run, 30), a_flow(f"{run}-once", 30, kind="faults.once")
    await doors.hand_in([*again, *once])

    report = await judge.verdict([*again, *once], since=time.monotonic())
    assert len(report.duplicates) + len(report.unknown) == lost_answers, "each is one or the other, by policy"
