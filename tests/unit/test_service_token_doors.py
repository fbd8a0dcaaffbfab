"""A service's token at every door of the application: it sends, sees what came of it, and is nobody anywhere else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from infrastructure.auth.service_tokens import ServiceTokens
from schemas.api_keys import NewKey
from tests.doors import SEND, Doors, the_callers
from tests.fakes.house import House
from tests.matrix import ON_THE_STACK_ALONE, routes_of
from tests.product import an_app
from tests.service_token import SECRET, SERVICE, a_service_token
from tests.tokens import bearer
from tests.unit.test_matrix import OPEN

GRANTED = ("notifications:send", "notifications:broadcast")
# What a service's token is for. Any other door is shut to it, a new one too, until somebody adds it here.
FOR_SENDING = {
    f"POST {SEND}",
    f"POST {SEND}/batch",
    f"GET {SEND}/scheduled",
    f"GET {SEND}/{{notification_id}}",
    f"PATCH {SEND}/{{notification_id}}",
    f"GET {SEND}/{{notification_id}}/timeline",
    f"POST {SEND}/{{notification_id}}/cancel",
}
GUARDED = [name for name in routes_of(an_app()) if name not in OPEN and not name.startswith(ON_THE_STACK_ALONE)]
HELLO = {"to": "ana", "message": "Hello", "channels": ["in_app"]}


@pytest.fixture(name="house", scope="module")
def a_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(tmp_path_factory.mktemp("house"))
    told = {"jwt_secret_key": SecretStr(SECRET), "jwt_services": {SERVICE: GRANTED, "mute": ("notifications:broadcast",)}}
    resources = house.app.state.resources
    resources.service_tokens = ServiceTokens(resources.settings.model_copy(update=told))
    return house


@pytest.fixture(name="shop")
async def _shop(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with house.client(bearer(a_service_token())) as client:
        yield client


async def test_no_door_gives_it_more_than_a_key_of_the_same_rights(house: House) -> None:
    doors = Doors(house.client, house.keyring, await the_callers(house.token_of, house.keyring))
    await doors.send_something()
    wanted = NewKey(name="shop", producer=SERVICE, permissions=GRANTED)
    key = await house.keyring.create(wanted, "dev", "olga", datetime.now(UTC))
    for name in GUARDED:
        with_key = await doors.ask(name, {"X-API-Key": key.presented})
        with_token = await doors.ask(name, bearer(a_service_token()))
        if name in FOR_SENDING:
            assert with_token == with_key, name
        else:
            assert with_token in (401, 403), f"{name}: {with_token}, and {with_key} with a key"


def test_the_doors_it_is_for_are_there() -> None:
    assert set(GUARDED) >= FOR_SENDING


async def test_it_sends_and_sees_what_came_of_it_and_nobody_elses(house: House, shop: httpx2.AsyncClient) -> None:
    sent = (await shop.post(SEND, json=HELLO)).json()["data"]
    found = (await shop.get(f"{SEND}/{sent['notification_id']}")).json()["data"]
    assert (found["producer"], found["status"]) == (SERVICE, "SETTLED")
    async with house.client(await house.token_of("ben")) as ben:
        theirs = (await ben.post(SEND, json=HELLO)).json()["data"]["notification_id"]
    assert (await shop.get(f"{SEND}/{theirs}")).status_code == 404


@pytest.mark.parametrize("path", ["/", "/unread", "/pending", "/preferences"])
async def test_it_has_no_inbox_and_no_preferences(shop: httpx2.AsyncClient, path: str) -> None:
    assert (await shop.get(SEND + path)).status_code == 403
    assert (await shop.get("/api/v1/preferences")).status_code == 403
    assert (await shop.get("/api/v1/auth/me")).status_code == 403
    assert (await shop.get("/api/v1/people/ana")).status_code == 403


async def test_it_works_in_its_own_environment_alone(shop: httpx2.AsyncClient) -> None:
    assert (await shop.post(SEND, json=HELLO | {"environment": "test"})).status_code == 403
    assert (await shop.get(f"{SEND}/scheduled", params={"environment": "test"})).status_code == 403


async def test_a_permission_that_is_not_granted_is_403(house: House) -> None:
    async with house.client(bearer(a_service_token(sub="mute"))) as mute:
        assert (await mute.post(SEND, json=HELLO)).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        bearer(a_service_token(sub="stranger")),
        bearer(a_service_token(sub="ana")),
        bearer(a_service_token(secret="another-secret-0123456789-0123456789")),
        bearer(a_service_token(exp=1_000_000_000)),
        bearer(a_service_token(header={"alg": "none"})),
        bearer(a_service_token(header={"alg": "RS256"})),
        bearer(a_service_token(alg="HS512")),
        bearer(a_service_token()) | {"X-API-Key": f"crl_dev{'a' * 16}_{'a' * 52}"},
        {"Authorization": f"Basic {a_service_token()}"},
    ],
    ids=["stranger", "person", "secret", "expired", "unsigned", "RS256", "HS512", "two credentials", "Basic"],
)
async def test_every_other_token_hears_the_same_401(house: House, headers: dict[str, str]) -> None:
    async with house.client(headers) as client:
        refused = await client.post(SEND, json=HELLO)
    told: dict[str, Any] = refused.json()["error"]
    assert (refused.status_code, told["detail"]) == (401, "A session, a valid bearer token or a valid API key is needed.")


async def test_it_has_the_limit_of_the_gateway_it_comes_from(house: House, shop: httpx2.AsyncClient) -> None:
    per_minute = house.app.state.resources.settings.rate_limit_per_minute
    answer = await shop.post(SEND, json=HELLO)
    assert f"q={per_minute}" in answer.headers["RateLimit-Policy"]


async def test_its_calls_are_counted_so_that_one_sees_the_last_of_them(shop: httpx2.AsyncClient) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("legacy_calls_total", {"version": "service_token"}) or 0

    before = counted()
    await shop.post(SEND, json=HELLO)
    assert counted() == before + 1


async def test_where_no_secret_is_set_it_is_nobody(tmp_path_factory: pytest.TempPathFactory) -> None:
    house = House(tmp_path_factory.mktemp("closed"))
    async with house.client(bearer(a_service_token())) as shop:
        assert (await shop.post(SEND, json=HELLO)).status_code == 401
