"""The notification gateway's interface (seed 001) on the running product, by its own words: docs/migration.md names each."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from schemas import topics
from schemas.ids import notification_id
from tests.eventually import eventually
from tests.service_token import SECRET, SERVICE, a_service_token
from tests.tokens import bearer

SEND = "/api/v1/notifications"
PRINTED = (Path(__file__).parents[1] / "e2e/clients/seed_001.sh").read_text(encoding="utf-8")
ITS_USER, ITS_REQUEST = "550e8400-e29b-41d4-a716-446655440000", "req_123456789"
METRIC = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


async def the_printed_curl(api: str, token: str) -> dict[str, Any]:
    """What it prints, with the one word its README has the reader put in."""
    script = PRINTED.replace("http://localhost:8000", api).replace("YOUR_JWT_TOKEN", token)
    child = await asyncio.create_subprocess_exec(
        "bash", "-euc", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == 0, complained.decode()
    answer: dict[str, Any] = json.loads(said)
    return answer


async def total(api: str, name: str, **labels: str) -> float:
    """The sum over a metric's series with these labels, as Prometheus would read it."""
    async with httpx2.AsyncClient(base_url=api) as prometheus:
        text = (await prometheus.get("/metrics")).text
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(
        float(value) for found, said, value in METRIC.findall(text) if found == name and wanted <= set(said.split(","))
    )


async def test_its_printed_curl_sends_a_mail_and_the_same_request_id_returns_the_existing_notification(
    api: str, workers: Child, olga: httpx2.AsyncClient, sandbox: httpx2.AsyncClient
) -> None:
    (await olga.patch(f"/api/v1/people/{ITS_USER}", json={"email": "john@example.com"})).raise_for_status()
    hits = await total(api, "idempotency_hits_total")
    published = await total(api, "published_messages_total")

    first = await the_printed_curl(api, a_service_token())
    again = await the_printed_curl(api, a_service_token())

    assert {name: first[name] for name in ("success", "error", "meta")} == {"success": True, "error": None, "meta": None}
    assert first.keys() == {"success", "data", "error", "message", "meta"}
    assert first["data"]["notification_id"] == notification_id("dev", SERVICE, ITS_REQUEST)
    assert again["data"] == first["data"]
    assert await total(api, "idempotency_hits_total") == hits + 1
    assert await total(api, "published_messages_total") == published + 1

    async def mailed() -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = (await sandbox.get("/calls", params={"provider": "email"})).json()
        return [call["request"] for call in calls if call["request"]["to"] == ["john@example.com"]]

    [mail] = await eventually(mailed)
    assert mail["subject"] == "Welcome, John Doe"
    assert "https://example.com/verify" in mail["text"]


async def test_a_message_of_its_queues_is_understood_on_the_kafka_topic_that_replaces_them(
    resources: Resources, workers: Child, unique: Callable[[str], str]
) -> None:
    person, request_id = unique("user"), unique("req")
    message = {
        "notification_id": "ntf_uuid",
        "notification_type": "in_app",
        "user_id": person,
        "template_code": "welcome_email",
        "variables": {"name": "John Doe"},
        "request_id": request_id,
        "priority": 1,
        "metadata": {"source": "web"},
    }
    await resources.publisher.publish(Outgoing(topics.requests("dev"), person, json.dumps(message).encode()))
    [item] = await eventually(lambda: resources.stores.inbox.newest("dev", person, before=None, limit=10))
    assert item.title == "Welcome, John Doe"
    assert item.notification_id == notification_id("dev", "kafka", request_id)


async def test_priorities_from_one_to_ten_are_taken_and_eight_is_urgent(
    api: str, workers: Child, unique: Callable[[str], str]
) -> None:
    body = {"notification_type": "in_app", "user_id": unique("user"), "template_code": "welcome_email"}
    async with httpx2.AsyncClient(base_url=api, headers=bearer(a_service_token()), timeout=30) as shop:
        for priority in range(1, 11):
            sent = await shop.post(SEND, json=body | {"variables": {"name": "John"}, "priority": priority})
            assert sent.status_code == 202, sent.text
            queue = "requests.urgent" if priority >= 8 else "requests"
            assert sent.json()["data"]["position"]["topic"] == f"notifications.dev.{queue}"
        refused = await shop.post(SEND, json=body | {"priority": 11})
    assert (refused.status_code, refused.json()["error"]["errors"][0]["pointer"]) == (422, "/priority")


async def test_every_call_but_health_needs_a_token(api: str) -> None:
    async with httpx2.AsyncClient(base_url=api) as nobody:
        assert (await nobody.post(SEND, json={})).status_code == 401
        health = await nobody.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "healthy")
    assert set(health.json()["checks"].items()) == {("kafka", "ok"), ("dynamodb", "ok"), ("redis", "ok")}


async def test_its_metrics_have_their_names_and_count(api: str, unique: Callable[[str], str]) -> None:
    route = {"route": SEND, "method": "POST"}
    names = ("api_requests_total", "api_request_duration_seconds_count")
    before = [await total(api, name, **route) for name in names]
    async with httpx2.AsyncClient(base_url=api, headers=bearer(a_service_token())) as shop:
        await shop.post(SEND, json={"to": unique("user"), "message": "counted"})
    assert [await total(api, name, **route) for name in names] == [count + 1 for count in before]


async def test_a_correlation_id_goes_through(api: str) -> None:
    headers = bearer(a_service_token()) | {"X-Correlation-ID": "from-the-client-1"}
    async with httpx2.AsyncClient(base_url=api, headers=headers) as shop:
        sent = await shop.post(SEND, json={"notification_type": "pigeon", "user_id": "ana"})
    assert sent.headers["x-correlation-id"] == sent.json()["error"]["correlation_id"] == "from-the-client-1"


@pytest.mark.parametrize(
    "token",
    [
        a_service_token(sub=ITS_USER),
        a_service_token(sub="ana"),
        a_service_token(secret=SECRET[::-1]),
        a_service_token(header={"alg": "none"}).rpartition(".")[0] + ".",
        a_service_token(alg="HS512"),
        a_service_token(exp=4_000_000_000),
    ],
    ids=["a person", "a person by name", "another secret", "unsigned", "another algorithm", "for ever"],
)
async def test_another_token_than_a_services_is_refused(api: str, token: str) -> None:
    async with httpx2.AsyncClient(base_url=api, headers=bearer(token)) as client:
        assert (await client.post(SEND, json={"to": "ana", "message": "Hi"})).status_code == 401


@pytest.mark.parametrize("query", ["", "?user_id=ana", f"?user_id=service:{SERVICE}"])
async def test_a_services_token_opens_no_socket(api: str, query: str) -> None:
    address = api.replace("http", "ws", 1) + "/ws/notifications" + query
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address, additional_headers=bearer(a_service_token())):
            pass
    assert refused.value.response.status_code == 403
