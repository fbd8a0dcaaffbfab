"""What a worker process says about itself, and how it ends."""

import os
import threading
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from consumers import __main__ as process
from consumers.health import health_app
from consumers.workers import Named
from infrastructure.kafka.consuming.member import HandlerBuriesEverything
from infrastructure.kafka.quarantine import QuarantinedGaps
from infrastructure.ports import Gap
from infrastructure.settings import Settings
from schemas.outcomes import Unavailable
from tests.fakes.log import FakeBroker
from tests.fakes.publisher import FakePublisher
from tests.unit.workshop import GROUP, Worker, produced

pytestmark = pytest.mark.usefixtures("quick_worker")


@pytest_asyncio.fixture
async def worker(quick_worker: None) -> AsyncIterator[Worker]:
    async with Worker(FakeBroker({"orders": 1}), handler_stuck_s=0.2) as started:
        yield started


@pytest_asyncio.fixture
async def client(worker: Worker) -> AsyncIterator[httpx2.AsyncClient]:
    app = health_app([Named(GROUP, worker.consumer)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://worker") as opened:
        yield opened


async def test_verbose_readiness_tells_how_each_group_gets_on(worker: Worker, client: httpx2.AsyncClient) -> None:
    worker.handler.script[0] = [Unavailable("DynamoDB")] * 10_000
    await produced(worker.broker, 1)
    await worker.until(lambda: worker.consumer.health().held)
    assert "workers" not in (await client.get("/readyz")).json()
    [told] = (await client.get("/readyz?verbose")).json()["workers"]
    assert (told["group"], told["assigned"], told["in_flight"], told["held"]) == (GROUP, 1, 1, {"DynamoDB": 1})
    assert told["partitions"]["orders/0"]["position"] == 1
    worker.handler.script[0] = []


async def test_a_call_that_hangs_is_no_life(worker: Worker, client: httpx2.AsyncClient) -> None:
    assert (await client.get("/livez")).status_code == 200
    worker.handler.open.clear()
    await produced(worker.broker, 1)
    await worker.until(lambda: not worker.consumer.alive)
    answer = await client.get("/livez")
    assert (answer.status_code, answer.json()) == (503, {"status": "stuck", "stuck": [GROUP]})


async def test_the_figures_are_measured(worker: Worker, client: httpx2.AsyncClient) -> None:
    worker.handler.open.clear()
    await produced(worker.broker, 2)
    await worker.until(lambda: worker.consumer.health().in_flight == 2)
    text = (await client.get("/metrics")).text
    assert f'carillon_worker_in_flight{{group="{GROUP}"}} 2.0' in text
    assert f'carillon_worker_paused{{group="{GROUP}",priority="urgent"}} 0.0' in text
    assert f'carillon_worker_oldest_in_flight_seconds{{group="{GROUP}"}}' in text


def test_a_process_whose_handler_buries_everything_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(name: str, settings: Settings) -> None:
        raise HandlerBuriesEverything("dev.persist")

    monkeypatch.setattr(process, "work", work)
    monkeypatch.setattr(process, "configure_logs", lambda _: None)
    monkeypatch.setattr(process, "Settings", lambda: Settings(_env_file=None, deployment="local"))
    ended = CliRunner().invoke(process.app, ["persist"])
    assert isinstance(ended.exception, SystemExit)
    assert ended.exit_code == 1
    assert "dev.persist stopped: its handler crashed on every record" in ended.output + str(ended.exception)


class FakeTimer:
    def __init__(self, after_s: float, end: Callable[[], None], started: "list[FakeTimer]") -> None:
        self.after_s, self.end, self.daemon, self._started = after_s, end, False, started

    def start(self) -> None:
        self._started.append(self)


def test_a_process_that_cannot_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[FakeTimer] = []
    monkeypatch.setattr(threading, "Timer", lambda after_s, end: FakeTimer(after_s, end, started))
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    process._end_for_certain(33.0)
    [timer] = started
    assert (timer.after_s, timer.daemon) == (33.0, True), "a process that ends in time does not wait for it"
    timer.end()
    assert codes == [70]


async def test_a_gap_lies_in_quarantine_where_operators_look() -> None:
    publisher = FakePublisher()
    await QuarantinedGaps(publisher).record(Gap("dev.route", "notifications.dev.requests", 2, 7, 9))
    [record] = publisher.on("notifications.dev.quarantine")
    assert (record.key, record.value) == (None, None)
    assert record.headers["x-dlq-reason"] == "gap"
    assert record.headers["x-dlq-origin"] == "notifications.dev.requests/2/7"
    assert (record.headers["x-dlq-gap-from"], record.headers["x-dlq-gap-to"]) == (b"7", b"9")
    assert "2 records were deleted before dev.route could read them" in str(record.headers["x-dlq-errors"])


async def test_a_gap_that_cannot_be_put_there_is_not_taken_for_recorded() -> None:
    publisher = FakePublisher()
    publisher.is_away = True
    with pytest.raises(Unavailable):
        await QuarantinedGaps(publisher).record(Gap("dev.route", "notifications.dev.requests", 2, 7, 9))
