"""A backend's key on the running product: made in a terminal, used over HTTP, ended in a terminal."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from typer.testing import CliRunner, Result

from api.cli.main import app
from infrastructure.local.processes import Child
from schemas.ids import notification_id
from tests.eventually import eventually

SEND = "/api/v1/notifications"
Unique = Callable[[str], str]


async def carillon(variables: Mapping[str, str], *words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["keys", *words], env=dict(variables))


async def a_key(variables: Mapping[str, str], name: str, *options: str) -> str:
    made = await carillon(variables, "create", "--name", name, "--producer", "orders", *options)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


def program(api: str, key: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=api, headers={"X-API-Key": key}, timeout=30)


async def test_a_backend_sends_under_its_producers_name_and_hears_what_became_of_it(
    api: str, workers: Child, variables: Mapping[str, str], unique: Unique
) -> None:
    request_id = unique("order")
    async with program(api, await a_key(variables, unique("orders"))) as orders:
        body = {"to": "ana", "message": "Shipped", "request_id": request_id}
        sent = (await orders.post(SEND, json=body)).json()["data"]
        assert sent["notification_id"] == notification_id("dev", "orders", request_id)

        async def settled() -> dict[str, Any] | None:
            found: dict[str, Any] = (await orders.get(f"{SEND}/{sent['notification_id']}")).json()["data"] or {}
            return found if found.get("status") == "SETTLED" else None

        assert (await eventually(settled))["producer"] == "orders"
        async with program(api, await a_key(variables, unique("orders too"))) as same_producer:
            again = await same_producer.post(SEND, json=body)
        assert again.json()["data"]["notification_id"] == sent["notification_id"]
        assert again.headers["idempotent-replayed"] == "true"


async def test_a_key_of_another_environment_reads_and_writes_nothing_here(
    api: str, variables: Mapping[str, str], unique: Unique
) -> None:
    async with program(api, await a_key(variables, unique("orders"), "-e", "test")) as orders:
        answers = [
            await orders.post(SEND, json={"to": "ana", "message": "x", "environment": "dev"}),
            await orders.post(SEND, json={"cancel": "x", "environment": "dev"}),
            await orders.get(f"{SEND}/ntf_{'a' * 26}?environment=dev"),
            await orders.post(f"{SEND}/ntf_{'a' * 26}/cancel?environment=dev"),
        ]
        assert [answer.status_code for answer in answers] == [403] * 4
        sent = await orders.post(SEND, json={"to": "ana", "message": "x"})
    assert sent.json()["data"]["environment"] == "test"


async def test_rotated_and_revoked_in_a_terminal(api: str, variables: Mapping[str, str], unique: Unique) -> None:
    name = unique("orders")
    first = await a_key(variables, name)
    key_id = first.split("_")[1]
    second = (await carillon(variables, "rotate", key_id, "--overlap", "1h")).stdout.strip()
    for key in (first, second):
        async with program(api, key) as orders:
            assert (await orders.get("/api/v1/auth/me")).json()["data"]["name"] == name
    third = (await carillon(variables, "rotate", key_id, "--overlap", "1h")).stdout.strip()
    assert "two secrets" in next(line for line in (await carillon(variables, "list")).stdout.splitlines() if key_id in line)

    assert (await carillon(variables, "revoke", key_id)).exit_code == 0
    async with program(api, third) as orders:
        assert (await orders.get("/api/v1/auth/me")).status_code == 401
    listed = (await carillon(variables, "list")).stdout
    assert "revoked" in next(line for line in listed.splitlines() if key_id in line)
    assert "last used" in next(line for line in listed.splitlines() if key_id in line)
    assert (await carillon(variables, "rotate", key_id)).exit_code == 1


async def test_what_is_wrong_is_said_in_a_terminal(variables: Mapping[str, str], settings: object) -> None:
    wrong = await carillon(variables, "create", "--name", "x", "--producer", "user:ana")
    assert (wrong.exit_code, "producer" in wrong.output) == (1, True)
    assert (await carillon(variables, "revoke", "nonsense")).exit_code == 1
    assert (await carillon(variables, "revoke", f"dev{'b' * 16}")).exit_code == 1
