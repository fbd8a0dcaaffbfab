"""The older service's API over HTTP, against a real Valkey and a Publisher in memory."""

import asyncio
import contextlib
import hashlib
import hmac
import io
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from redis.asyncio import Redis

from api.body_limit import BodyLimit
from api.problems import install_problems
from api.routes import legacy
from consumers.handlers.bridge import Bridge
from infrastructure.catalogue import load_catalogue
from infrastructure.kafka.entrance import Entrance
from infrastructure.live_catalogue import LiveCatalogue
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Processes
from infrastructure.local.valkey import start_valkey
from infrastructure.redis.client import open_redis
from infrastructure.redis.seen import SeenRequests
from infrastructure.redis.streams import GROUP
from infrastructure.settings import Settings
from schemas import topics
from schemas.legacy import LOW_STOCK_STREAM
from tests.fakes.publisher import FakePublisher
from tests.fakes.stores import FakeNotifications
from tests.product import ROOT

TOKEN = "your-secret-token"
REQUESTS = topics.requests("test")

# As the older service's README prints it; only the port is ours.
OLD_CLIENT = (ROOT / "tests/e2e/clients/seed_000.py").read_text(encoding="utf-8")


@dataclass
class House:
    """The API with everything behind it that a test looks at."""

    app: FastAPI
    client: httpx2.AsyncClient
    redis: Redis
    publisher: FakePublisher


@pytest.fixture(name="valkey", scope="module")
async def running_valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder: Path = tmp_path_factory.mktemp("valkey")
    port = any_free_port()
    async with Processes(folder) as processes:
        await start_valkey(processes, port, folder, persistent=False)
        yield f"redis://127.0.0.1:{port}/0"


def settings_for(redis_url: str, **changes: Any) -> Settings:
    values = {"deployment": "local", "redis_url": redis_url, "api_token": TOKEN, "app_secret_key": "k" * 32}
    return Settings(_env_file=None, **(values | changes))


def an_app(settings: Settings, redis: Redis, publisher: FakePublisher) -> FastAPI:
    app = FastAPI()
    app.include_router(legacy.router)
    install_problems(app)
    app.add_middleware(BodyLimit)
    app.state.resources = SimpleNamespace(
        settings=settings,
        redis=redis,
        entrance=Entrance(publisher, b"k" * 32),
        catalogue=LiveCatalogue(load_catalogue(settings.types_dir)),
        seen=SeenRequests(redis, settings.idempotency_ttl_seconds),
        stores=SimpleNamespace(notifications=FakeNotifications()),
        lag=SimpleNamespace(report=()),
    )
    return app


@contextlib.asynccontextmanager
async def a_house(settings: Settings) -> AsyncIterator[House]:
    redis, publisher = open_redis(settings), FakePublisher()
    app = an_app(settings, redis, publisher)
    transport = httpx2.ASGITransport(app=app)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            yield House(app, client, redis, publisher)
    finally:
        await redis.aclose()


@pytest.fixture(name="house")
async def empty_house(valkey: str) -> AsyncIterator[House]:
    async with a_house(settings_for(valkey)) as found:
        await found.redis.flushall()
        yield found


def signed(timestamp: str | None = None, token: str = TOKEN) -> dict[str, str]:
    timestamp = timestamp or str(int(time.time()))
    mac = hmac.new(token.encode(), timestamp.encode(), hashlib.sha256).hexdigest()
    return {"token": token, "x-timestamp": timestamp, "x-signature": mac}


def signed_v2(
    method: str, target: str, message_id: str, timestamp: str | None = None, body: str = "", token: str = TOKEN
) -> dict[str, str]:
    timestamp = timestamp or str(int(time.time()))
    text = f"{method}\n{target}\n{message_id}.{timestamp}.{body}"
    mac = hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {"token": token, "x-timestamp": timestamp, "x-signature": f"v2,{mac}", "webhook-id": message_id}


@contextlib.asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The app behind a real HTTP server, since headers such as Date are the server's."""
    port = any_free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield port
    server.should_exit = True
    await task


async def test_the_python_client_of_the_older_service_works_unchanged(house: House) -> None:
    async with served(house.app) as port:
        client = OLD_CLIENT.replace(":10000/", f":{port}/")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            await asyncio.to_thread(exec, compile(client, "old_client", "exec"), {})
    assert "Status code: 200" in printed.getvalue()
    assert "'status': 'published'" in printed.getvalue()
    assert house.publisher.values_on(REQUESTS) == [
        {"to": [{"slack": "default"}], "message": {"body": "Hello from Python client!"}}
    ]
    assert house.publisher.records[0].headers["ce_source"] == "legacy"


async def test_a_refused_client_can_read_the_servers_clock(house: House) -> None:
    async with served(house.app) as port, httpx2.AsyncClient() as client:
        answer = await client.post(
            f"http://127.0.0.1:{port}/publish/test", params={"message": "m"}, headers=signed("1600000000")
        )
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    [date] = answer.headers.get_list("date")
    assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 60
    assert "server's time" in answer.json()["detail"]


async def test_an_exact_repeat_creates_nothing_and_gets_the_first_answer(house: House) -> None:
    headers = signed()
    first = await house.client.post("/publish/test?message=once", headers=headers)
    again = await house.client.post("/publish/test?message=once", headers=headers)
    assert first.status_code == again.status_code == 200
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(house.publisher.records) == 1


async def test_a_hundred_replays_at_once_are_one_notification(house: House) -> None:
    headers = signed()
    calls = [house.client.post("/publish/test?message=storm", headers=headers) for _ in range(100)]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["notification_id"] for answer in answers}) == 1
    assert len({record.headers["ce_id"] for record in house.publisher.records}) == 1


async def test_another_message_in_the_same_second_is_another_notification(house: House) -> None:
    headers = signed()
    answers = [await house.client.post(f"/publish/test?message={text}", headers=headers) for text in ("a", "b")]
    assert len({answer.json()["notification_id"] for answer in answers}) == 2
    assert all("Idempotent-Replayed" not in answer.headers for answer in answers)


async def test_without_redis_a_replay_is_still_the_same_notification() -> None:
    async with a_house(settings_for(f"redis://127.0.0.1:{any_free_port()}/0")) as house:
        headers = signed()
        answers = [await house.client.post("/publish/test?message=m", headers=headers) for _ in range(2)]
        status = await house.client.get("/status", headers=signed())
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["notification_id"] == answers[1].json()["notification_id"]
    assert status.status_code == 503


async def test_without_kafka_the_answer_is_503_and_a_repeat_is_not_taken_for_a_replay(house: House) -> None:
    headers = signed()
    house.publisher.fail_next()
    away = await house.client.post("/publish/test?message=m", headers=headers)
    back = await house.client.post("/publish/test?message=m", headers=headers)
    assert away.status_code == 503
    assert "Retry-After" in away.headers
    assert back.status_code == 200
    assert back.json()["request_id"] in away.json()["detail"]
    assert "Idempotent-Replayed" not in back.headers


async def test_a_token_that_used_v2_cannot_be_used_with_v1_again(house: House) -> None:
    target = "/publish/test?message=m"
    before = await house.client.post(target, headers=signed())
    moved = await house.client.post(target, headers=signed_v2("POST", target, "msg-1"))
    after = await house.client.post(target, headers=signed())
    elsewhere = an_app(house.app.state.resources.settings, house.redis, house.publisher)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=elsewhere), base_url="http://other") as client:
        other_process = await client.post(target, headers=signed())
    assert [before.status_code, moved.status_code, after.status_code, other_process.status_code] == [200, 200, 401, 401]
    assert moved.json()["request_id"] == "msg-1"


async def test_v2_covers_the_query(house: House) -> None:
    headers = signed_v2("POST", "/publish/test?message=paid%205", "msg-1")
    swapped = await house.client.post("/publish/test?message=paid%20500", headers=headers)
    assert swapped.status_code == 401
    assert house.publisher.records == []


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/publish/test?message=m", "another body"),
        ("POST", "/publish/test?message=another", "body"),
        ("POST", "/publish/dev?message=m", "body"),
        ("DELETE", "/clear/test", "body"),
    ],
    ids=["body", "query", "path", "method and path"],
)
async def test_v2_lets_nothing_be_swapped_on_the_way(house: House, method: str, target: str, body: str) -> None:
    headers = signed_v2("POST", "/publish/test?message=m", "msg-1", body="body")
    assert (await house.client.request(method, target, headers=headers, content=body)).status_code == 401
    assert house.publisher.records == []
    as_signed = await house.client.post("/publish/test?message=m", headers=headers, content="body")
    assert as_signed.status_code == 200


async def test_a_replay_under_v2_creates_nothing_either(house: House) -> None:
    target = "/publish/test?message=m"
    headers = signed_v2("POST", target, "msg-1")
    first, *others = [await house.client.post(target, headers=headers) for _ in range(5)]
    assert [answer.json() for answer in others] == [first.json()] * 4
    assert {answer.headers["Idempotent-Replayed"] for answer in others} == {"true"}
    assert len(house.publisher.records) == 1


async def test_downgrade_is_refused_per_token_and_not_for_the_one_that_replaces_it(valkey: str) -> None:
    """Also while a token is being replaced: each moves to v2 by its own first call."""
    async with a_house(settings_for(valkey, api_token="new", api_token_previous="old")) as house:
        target = "/publish/test?message=m"
        await house.client.post(target, headers=signed_v2("POST", target, "msg-1", token="old"))
        answers = [await house.client.post(target, headers=signed(token=token)) for token in ("old", "new")]
    assert [answer.status_code for answer in answers] == [401, 200]


async def test_a_client_may_name_its_own_request(house: House) -> None:
    answers = [
        await house.client.post("/publish/test?message=m", headers={**signed(), "Idempotency-Key": key})
        for key in ("order-1", "order-2")
    ]
    assert [answer.json()["request_id"] for answer in answers] == ["order-1", "order-2"]
    target = "/publish/test?message=m"
    two = {**signed_v2("POST", target, "msg-1"), "Idempotency-Key": "order-3"}
    assert (await house.client.post(target, headers=two)).status_code == 422


async def test_another_message_under_a_known_request_id_is_refused(house: House) -> None:
    named = {**signed(), "Idempotency-Key": "order-4"}
    first = await house.client.post("/publish/test?message=paid%205", headers=named)
    other = await house.client.post("/publish/test?message=paid%20500", headers=named)
    assert (first.status_code, other.status_code) == (200, 409)
    assert "Deprecation" in other.headers
    assert len(house.publisher.records) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/publish/prod?message=m", 404),
        ("GET", "/status/moon", 404),
        ("DELETE", "/clear/moon", 404),
        ("POST", "/publish/test", 422),
        ("POST", "/publish/test?message=", 422),
        ("POST", f"/publish/test?message={'m' * 40_001}", 422),
        ("POST", f"/publish/test?message=m&token={TOKEN}", 400),
        ("GET", "/status?Token=x", 400),
    ],
)
async def test_what_cannot_be_served_is_a_problem(house: House, method: str, path: str, status: int) -> None:
    answer = await house.client.request(method, path, headers=signed())
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert TOKEN not in answer.text
    assert house.publisher.records == []


async def test_an_unknown_environment_is_answered_with_the_known_ones(house: House) -> None:
    answer = await house.client.get("/status/moon", headers=signed())
    assert answer.json()["detail"] == "This deployment serves dev, test."


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/publish/test?message=m"),
        ("POST", "/publish/test"),
        ("GET", "/status"),
        ("GET", "/status/test"),
        ("DELETE", "/clear"),
        ("DELETE", "/clear/test"),
        ("GET", "/status/moon"),
    ],
)
async def test_every_route_is_shut_without_a_signature(house: House, method: str, path: str) -> None:
    for headers in ({}, {"token": TOKEN}, signed(token="guess"), {**signed(), "x-signature": "0" * 64}):
        answer = await house.client.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert "WWW-Authenticate" in answer.headers
        assert "Deprecation" in answer.headers


async def test_a_body_is_read_no_further_than_a_request_may_be_long(house: House) -> None:
    answer = await house.client.post("/publish/test?message=m", headers=signed(), content=b"x" * 300_000)
    assert answer.status_code == 413


async def test_without_an_api_token_the_door_is_closed(valkey: str) -> None:
    async with a_house(settings_for(valkey, api_token="")) as house:
        answer = await house.client.get("/status", headers=signed(token=""))
    assert answer.status_code == 503
    assert "API_TOKEN" in answer.json()["detail"]


async def test_a_token_that_is_being_replaced_still_works(valkey: str) -> None:
    async with a_house(settings_for(valkey, api_token="new", api_token_previous="old")) as house:
        answers = [await house.client.get("/status", headers=signed(token=token)) for token in ("new", "old")]
    assert [answer.status_code for answer in answers] == [200, 200]


async def read_as_the_bridge(redis: Redis, stream: str, count: int) -> list[bytes]:
    answer: Any = await redis.xreadgroup(GROUP, "bridge", {stream: ">"}, count=count)
    [(_, rows)] = answer
    return [entry_id for entry_id, _ in rows]


async def test_status_and_clear_tell_acknowledged_entries_from_the_others(house: House) -> None:
    stream = "notifications:test"
    for number in range(1205):
        await house.redis.xadd(stream, {"message": f"m{number}"})
    await house.redis.xgroup_create(stream, GROUP, id="0")
    ids = await read_as_the_bridge(house.redis, stream, 1203)
    waiting = {ids[1], ids[600], ids[1202]}
    await house.redis.xack(stream, GROUP, *(one for one in ids if one not in waiting))

    status = (await house.client.get("/status/test", headers=signed())).json()
    assert (status["length"], status["pending"], status["kafka"]) == (1205, 3, None)
    cleared = (await house.client.delete("/clear/test", headers=signed())).json()
    assert (cleared["cleared"], cleared["kept"]) == (1200, 5)
    rows: Any = await house.redis.xrange(stream)
    assert {entry_id for entry_id, _ in rows[:3]} == waiting
    assert (await house.client.get("/status/test", headers=signed())).json()["pending"] == 3


async def test_what_no_bridge_has_read_is_never_cleared(house: House) -> None:
    await house.redis.xadd("notifications:test", {"message": "unread"})
    cleared = (await house.client.delete("/clear", headers=signed())).json()
    assert cleared["environments"]["test"] == {"environment": "test", "cleared": 0, "kept": 1}
    assert cleared["environments"]["dev"]["kept"] == 0


async def test_the_inventory_stream_belongs_to_the_default_environment(house: House) -> None:
    await house.redis.xadd(LOW_STOCK_STREAM, {"product_id": "7"})
    found = (await house.client.get("/status", headers=signed())).json()["environments"]
    assert {"stream": LOW_STOCK_STREAM, "length": 1, "pending": 0} in found["dev"]["streams"]
    assert [one["stream"] for one in found["test"]["streams"]] == ["notifications:test"]


async def test_what_the_bridge_has_copied_can_be_cleared(house: House) -> None:
    await house.redis.xadd("notifications:test", {"message": "copied"})
    bridge = Bridge(
        house.redis,
        Entrance(house.publisher, b"k" * 32),
        house.publisher,
        environment="test",
        producer="bridge",
        low_stock=None,
        idle_takeover_s=30,
    )
    task = asyncio.create_task(bridge.run())
    await house.publisher.until(records=1)
    bridge.stop()
    await task
    cleared = (await house.client.delete("/clear/test", headers=signed())).json()
    assert (cleared["cleared"], cleared["kept"]) == (1, 0)


async def test_status_shows_how_far_routing_is_behind(house: House) -> None:
    seen = SimpleNamespace(group="test.route", status="BEHIND", lag=12, lag_s=3.5)
    house.app.state.resources.lag.report = (seen,)
    status = (await house.client.get("/status/test", headers=signed())).json()
    assert status["kafka"] == {"group": "test.route", "status": "BEHIND", "lag": 12, "lag_s": 3.5}
