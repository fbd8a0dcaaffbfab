"""Keys over HTTP: who may make which, what they open, and where they end."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.auth import get_current_user
from api.dependencies import InEnvironment
from api.envelope import ok
from api.routes import keys
from infrastructure.auth.user import User
from tests.fakes.login import BASE_URL, World, a_world

ORDERS = {"name": "orders service", "producer": "orders"}
FROM_HERE = {"Origin": BASE_URL}


@pytest.fixture(name="world")
def a_site(tmp_path: Path) -> World:
    world = a_world(tmp_path)
    world.app.include_router(keys.router)

    @world.app.get("/api/v1/where")
    async def where(environment: InEnvironment) -> dict[str, Any]:
        return ok(environment)

    return world


async def as_person(world: World, person: str, method: str, path: str, **sent: Any) -> httpx2.Response:
    async with world.browser() as browser:
        await world.log_in(browser, person)
        return await browser.request(method, f"/api/v1{path}", headers=FROM_HERE, **sent)


async def with_key(world: World, key: str, path: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    async with world.browser() as program:
        return await program.get(f"/api/v1{path}", headers={"X-API-Key": key, **(headers or {})})


async def a_key(world: World, **changes: Any) -> dict[str, Any]:
    answer = await as_person(world, "olga", "POST", "/keys", json=ORDERS | changes)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


async def test_a_new_key_opens_the_door_and_is_shown_once(world: World) -> None:
    answer = await as_person(world, "olga", "POST", "/keys", json=ORDERS)
    made = answer.json()["data"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["location"] == f"/api/v1/keys/{made['key_id']}"
    me = (await with_key(world, made["key"], "/auth/me")).json()["data"]
    assert (me["id"], me["kind"], me["permissions"]) == (f"key:{made['key_id']}", "machine", ["notifications:send"])

    shown = await as_person(world, "olga", "GET", f"/keys/{made['key_id']}")
    listed = await as_person(world, "olga", "GET", "/keys")
    assert made["key"].split("_")[2] not in shown.text + listed.text
    assert [key["created_by"] for key in listed.json()["data"]] == ["olga"]
    assert "hash" not in shown.text


async def test_only_who_may_write_keys_gets_near_them(world: World) -> None:
    made = await a_key(world)
    for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{made['key_id']}"), ("DELETE", f"/{made['key_id']}")):
        assert (await as_person(world, "ana", method, f"/keys{path}", json=ORDERS)).status_code == 403


async def test_no_key_can_make_keys(world: World) -> None:
    refused = await as_person(world, "olga", "POST", "/keys", json=ORDERS | {"permissions": ["keys:write"]})
    assert refused.status_code == 422
    assert (await a_key(world, permissions=["ops:read"]))["permissions"] == ["ops:read"]


@pytest.mark.parametrize("producer", ["user:ana", "client:x", "Orders", "", "a" * 65, "orders service"])
async def test_a_producer_name_can_be_no_persons(world: World, producer: str) -> None:
    assert (await as_person(world, "olga", "POST", "/keys", json=ORDERS | {"producer": producer})).status_code == 422


async def test_a_key_stays_in_its_environment(world: World) -> None:
    made = await a_key(world, environment="test")
    assert made["key"].startswith("crl_test")
    assert (await with_key(world, made["key"], "/where")).json()["data"] == "test"
    refused = await with_key(world, made["key"], "/where?environment=dev")
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        "This API key is for test; dev needs a key of its own.",
    )


async def test_a_key_of_an_environment_that_is_not_served_cannot_be_made(world: World) -> None:
    assert (await as_person(world, "olga", "POST", "/keys", json=ORDERS | {"environment": "prod"})).status_code == 422


async def test_rotation_gives_a_second_secret_and_revocation_ends_both(world: World) -> None:
    made = await a_key(world)
    path = f"/keys/{made['key_id']}"
    rotated = (await as_person(world, "olga", "POST", f"{path}/rotate", json={"overlap": "1h"})).json()["data"]
    assert [(await with_key(world, key, "/auth/me")).status_code for key in (made["key"], rotated["key"])] == [200, 200]
    assert len(rotated["secrets"]) == 2
    assert (await as_person(world, "olga", "DELETE", path)).json()["data"]["state"] == "revoked"
    assert (await as_person(world, "olga", "DELETE", path)).status_code == 200
    over = await as_person(world, "olga", "POST", f"{path}/rotate")
    assert over.status_code == 409


async def test_bad_keys_look_alike(world: World) -> None:
    made = await a_key(world)
    bad = ["", "crl_", made["key"][:-1], f"crl_dev{'b' * 16}_{'b' * 52}", f"crl_prod{'b' * 16}_{'b' * 52}"]
    answers = [await with_key(world, key, "/auth/me") for key in bad]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["message"] for answer in answers}) == 1


async def test_a_key_beside_another_credential_is_refused(world: World) -> None:
    made = await a_key(world)
    assert (await with_key(world, made["key"], "/auth/me", {"Authorization": "Bearer a.b.c"})).status_code == 401
    async with world.browser() as program:
        twice = await program.get("/api/v1/auth/me", headers=[("X-API-Key", made["key"]), ("X-API-Key", made["key"])])
    assert twice.status_code == 401


async def test_a_key_that_is_unknown_and_one_that_is_nobodys_are_404(world: World) -> None:
    for key_id in (f"dev{'b' * 16}", f"prod{'b' * 16}"):
        assert (await as_person(world, "olga", "GET", f"/keys/{key_id}")).status_code == 404


async def test_a_key_can_be_given_only_what_its_maker_may_do(world: World) -> None:
    maker = User(
        id="kim",
        sub="kim",
        issuer="https://idp",
        permissions=frozenset({"keys:write", "notifications:send"}),
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )
    world.app.dependency_overrides[get_current_user] = lambda: maker
    async with world.browser() as kim:
        refused = await kim.post("/api/v1/keys", json=ORDERS | {"permissions": ["notifications:send", "ops:write"]})
        made = await kim.post("/api/v1/keys", json=ORDERS)
    assert (refused.status_code, made.status_code) == (403, 201)
    assert refused.json()["message"].endswith("you lack ops:write.")
