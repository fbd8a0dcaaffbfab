"""Many requests in one call, and a test to oneself: each judged by itself, each with its own verdict."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fakeredis import FakeAsyncRedis
from fastapi import FastAPI

from api.auth import get_current_user
from api.body_limit import BodyLimit
from api.limits import RateLimitHeaders
from api.problems import install_problems
from api.routes.batch import router
from infrastructure.auth.user import User
from infrastructure.kafka.entrance import Entrance
from infrastructure.live_catalogue import LiveCatalogue
from infrastructure.redis.rate_limit import RateLimiter
from infrastructure.redis.seen import SeenRequests
from infrastructure.settings import Settings
from schemas.catalogue import NO_TYPES
from schemas.ids import notification_id
from schemas.recipients import Contact
from schemas.requests import MAX_BATCH, MAX_BATCH_BYTES, MAX_REQUEST_BYTES
from tests.fakes.publisher import FakePublisher
from tests.fakes.stores import FakeContacts, FakeNotifications

BATCH = "/api/v1/notifications/batch"
TEST = "/api/v1/notifications/test"


def ana(**changes: Any) -> User:
    ends = datetime(2100, 1, 1, tzinfo=UTC)
    user = User(id="ana", sub="ana", issuer="https://idp", permissions=frozenset({"notifications:send"}), expires_at=ends)
    return user.model_copy(update=changes)


class House:
    """What the two routes need of the house, with Kafka and the stores in memory."""

    def __init__(self, user: User | None = None, per_minute: int = 1000) -> None:
        self.publisher, self.contacts = FakePublisher(), FakeContacts()
        redis = FakeAsyncRedis()
        self.app = FastAPI()
        install_problems(self.app)
        self.app.include_router(router)
        self.app.add_middleware(RateLimitHeaders)
        self.app.add_middleware(BodyLimit)
        self.app.dependency_overrides[get_current_user] = lambda: user or ana()
        self.app.state.resources = SimpleNamespace(
            settings=Settings(_env_file=None, deployment="local", rate_limit_per_minute=per_minute),
            catalogue=LiveCatalogue(NO_TYPES),
            entrance=Entrance(self.publisher, b"key"),
            seen=SeenRequests(redis, 60),
            stores=SimpleNamespace(notifications=FakeNotifications(), contacts=self.contacts),
            limiter=RateLimiter(redis),
        )

    @asynccontextmanager
    async def program(self) -> AsyncIterator[httpx2.AsyncClient]:
        transport = httpx2.ASGITransport(self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            yield client

    async def post(self, path: str, **sent: Any) -> httpx2.Response:
        async with self.program() as client:
            return await client.post(path, **sent)


def hello(request_id: str | None = None, **changes: Any) -> dict[str, Any]:
    return {"to": "ben", "message": "Hello", **({"request_id": request_id} if request_id else {}), **changes}


@pytest.mark.parametrize("wrapped", [True, False])
async def test_all_that_were_accepted_are_in_kafka_and_have_an_id_each(wrapped: bool) -> None:
    house = House()
    requests = [hello(f"order-{number}") for number in range(MAX_BATCH)]
    answer = await house.post(BATCH, json={"requests": requests} if wrapped else requests)
    assert answer.status_code == 202
    ids = [item["data"]["notification_id"] for item in answer.json()["data"]["items"]]
    assert ids == [notification_id("dev", "user:ana", request["request_id"]) for request in requests]
    assert len(house.publisher.records) == MAX_BATCH
    assert answer.json()["meta"] == {"accepted": MAX_BATCH, "refused": 0}


async def test_one_that_is_wrong_harms_no_other_and_hears_why() -> None:
    house = House()
    wrong = [
        hello("good"),
        hello(colour="red"),
        "no object",
        {"cancel": "good"},
        hello(environment="prod"),
        {"to": [{"all": True}], "message": "x"},
        hello(message={"body": "x" * 40_001}),
    ]
    answer = await house.post(BATCH, json=wrong)
    items = answer.json()["data"]["items"]
    assert answer.status_code == 200
    assert [item["status"] for item in items] == [202, 422, 400, 422, 422, 403, 422]
    assert [item["index"] for item in items] == list(range(len(wrong)))
    assert items[1]["error"]["errors"][0]["pointer"] == "/colour"
    assert answer.json()["meta"] == {"accepted": 1, "refused": 6}
    assert len(house.publisher.records) == 1


async def test_the_same_id_twice_in_one_batch_is_one_notification() -> None:
    house = House()
    answer = await house.post(BATCH, json=[hello("a"), hello("a"), hello("a", message="another")])
    items = answer.json()["data"]["items"]
    assert [(item["status"], item["replayed"]) for item in items] == [(202, False), (202, True), (409, False)]
    assert len(house.publisher.records) == 1


async def test_under_an_idempotency_key_a_whole_batch_can_be_repeated() -> None:
    house = House()
    batch, key = [hello(), hello("own"), hello()], {"Idempotency-Key": "night-run-7"}
    first = (await house.post(BATCH, json=batch, headers=key)).json()["data"]["items"]
    again = (await house.post(BATCH, json=batch, headers=key)).json()["data"]["items"]
    assert [item["data"]["request_id"] for item in first] == ["night-run-7:0", "own", "night-run-7:2"]
    assert [item["data"] for item in again] == [item["data"] for item in first]
    assert [item["replayed"] for item in again] == [True] * 3


async def test_without_kafka_each_hears_that_its_outcome_is_unknown_and_under_which_id_to_repeat() -> None:
    house = House()
    house.publisher.is_away = True
    answer = await house.post(BATCH, json=[hello("a"), hello()])
    items = answer.json()["data"]["items"]
    assert ([item["status"] for item in items], answer.headers["retry-after"]) == ([503, 503], "5")
    assert items[0]["error"]["errors"] == [{"pointer": "/request_id", "detail": "a"}]
    assert items[1]["error"]["errors"][0]["detail"]


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"requests":[]}', '{"requests":[{}],"x":1}', '{"a":1,"a":2}', "1", "[" * 40, '[{"a":NaN}]']
)
async def test_what_is_no_batch_is_refused_as_a_whole(body: str) -> None:
    assert (await House().post(BATCH, content=body)).status_code == 400


async def test_more_than_a_hundred_and_more_than_a_mebibyte_are_refused() -> None:
    house = House()
    assert (await house.post(BATCH, json=[hello()] * (MAX_BATCH + 1))).status_code == 400
    assert (await house.post(BATCH, content=b" " * (MAX_BATCH_BYTES + 1))).status_code == 413
    padded = json.dumps([hello("a")]).encode() + b" " * (MAX_REQUEST_BYTES + 1)
    assert (await house.post(BATCH, content=padded)).status_code == 202, "a batch may be longer than a request"
    long = hello("b", metadata={"x": "y" * MAX_REQUEST_BYTES})
    [item] = (await house.post(BATCH, json=[long])).json()["data"]["items"]
    assert item["status"] == 400, "one of a batch may not"


async def test_a_batch_of_many_counts_as_many() -> None:
    house = House(per_minute=20)
    first = await house.post(BATCH, json=[hello()] * 15)
    assert (first.status_code, first.headers["ratelimit"].split(";")[1]) == (202, "r=6")  # one more is the call itself
    second = await house.post(BATCH, json=[hello()] * 15)
    assert second.status_code == 429
    assert len(house.publisher.records) == 15
    never = await house.post(BATCH, json=[hello()] * 40)
    assert never.status_code == 413


async def test_only_who_may_send_may_send_many() -> None:
    assert (await House(ana(permissions=frozenset())).post(BATCH, json=[hello()])).status_code == 403


async def test_a_test_reaches_the_caller_and_needs_no_permission() -> None:
    house = House(ana(permissions=frozenset()))
    answer = await house.post(TEST)
    assert answer.status_code == 202
    [record] = house.publisher.records
    sent = json.loads(record.value or b"")
    assert (sent["to"], sent["channels"]) == ([{"user": "ana"}], ["in_app"])
    assert answer.headers["location"].startswith("/api/v1/notifications/ntf_")


async def test_a_test_by_email_needs_an_address_that_is_known() -> None:
    house = House()
    wish = {"channels": ["email"]}
    assert (await house.post(TEST, json=wish)).status_code == 409
    await house.contacts.learn("dev", Contact(person="ana", email="ana@example.com", email_verified=True))
    assert (await house.post(TEST, json=wish)).status_code == 202
    assert json.loads(house.publisher.records[-1].value or b"")["channels"] == ["email", "in_app"]


async def test_a_test_goes_to_nobody_else_and_no_program_has_one() -> None:
    house = House()
    assert (await house.post(TEST, json={"to": "ben"})).status_code == 422
    assert (await House(ana(kind="machine")).post(TEST)).status_code == 403
