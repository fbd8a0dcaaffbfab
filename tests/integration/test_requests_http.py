"""Sending and reading over HTTP, and by a Kafka client that is not ours."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from confluent_kafka import Producer

from api.main import create_app
from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas import topics
from schemas.ids import notification_id
from tests.eventually import eventually
from tests.kafka_log import document, records_of, text_headers
from tests.tokens import log_in

SEND = "/api/v1/notifications"
NOT_THERE = f"dlv_{'a' * 26}"


def request(unique: Callable[[str], str], **fields: Any) -> dict[str, Any]:
    return {"to": "ana", "message": {"title": "Hi", "body": unique("text")}, "request_id": unique("order"), **fields}


async def settled(client: httpx2.AsyncClient, notification: str) -> dict[str, Any] | None:
    answer = await client.get(f"{SEND}/{notification}")
    found: dict[str, Any] = answer.json()["data"] or {}
    return found if found.get("status") == "SETTLED" else None


async def titles_with(client: httpx2.AsyncClient, text: str) -> list[str]:
    items = (await client.get(f"{SEND}/", params={"limit": 100})).json()["data"]
    return [item["id"] for item in items if item["message"] == text]


async def test_one_request_id_is_one_notification_however_often_it_is_sent(
    ana: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    body = request(unique)
    first = await ana.post(SEND, json=body)
    again = await ana.post(SEND, json=body)
    by_header = await ana.post(
        SEND,
        json={name: value for name, value in body.items() if name != "request_id"},
        headers={"Idempotency-Key": body["request_id"]},
    )

    assert [answer.status_code for answer in (first, again, by_header)] == [202, 202, 202]
    assert "idempotent-replayed" not in first.headers
    assert (again.headers["idempotent-replayed"], by_header.headers["idempotent-replayed"]) == ("true", "true")
    [found] = {answer.json()["data"]["notification_id"] for answer in (first, again, by_header)}
    assert found == notification_id("dev", "user:ana", body["request_id"])
    assert first.headers["location"] == f"{SEND}/{found}?environment=dev"
    await eventually(lambda: settled(ana, found))
    assert len(await titles_with(ana, body["message"]["body"])) == 1


async def test_after_redis_forgot_the_row_still_knows_the_id_and_its_body(
    ana: httpx2.AsyncClient, resources: Resources, workers: Child, unique: Callable[[str], str]
) -> None:
    body = request(unique)
    first = (await ana.post(SEND, json=body)).json()["data"]
    await eventually(lambda: settled(ana, first["notification_id"]))
    await resources.redis.delete(f"carillon:dev:seen:{first['notification_id']}")

    again = await ana.post(SEND, json=body)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["data"]["position"] == first["position"]
    other = await ana.post(SEND, json=body | {"message": "another"})
    assert (other.status_code, other.json()["error"]["type"]) == (409, "request_id_conflict")
    assert len(await titles_with(ana, body["message"]["body"])) == 1


async def test_an_answer_can_wait_for_the_outcome(
    ana: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    answer = await ana.post(SEND, json=request(unique), headers={"Prefer": "wait=5"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=5")
    data = answer.json()["data"]
    assert (data["status"], data["counts"]) == ("SETTLED", {"SENT": 1})
    assert data["deliveries"][0]["channel"] == "in_app"


async def test_what_is_accepted_can_be_looked_up_at_once_and_its_way_afterwards(
    ana: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    accepted = (await ana.post(SEND, json=request(unique))).json()["data"]
    before = await ana.get(f"{SEND}/{accepted['notification_id']}")
    assert before.status_code == 200
    assert before.json()["data"]["status"] in {"ACCEPTED", "DELIVERING", "SETTLED"}
    assert before.json()["data"]["request_id"] == accepted["request_id"]

    after = await eventually(lambda: settled(ana, accepted["notification_id"]))
    assert after["counts"] == {"SENT": 1}

    async def steps() -> list[dict[str, Any]]:
        answer = await ana.get(f"{SEND}/{accepted['notification_id']}/timeline")
        events: list[dict[str, Any]] = answer.json()["data"]["events"]
        return events if {"routed", "sent"} <= {event["event"] for event in events} else []

    by_name = {event["event"]: event for event in await eventually(steps)}
    assert by_name["routed"]["origin"] == accepted["position"], "where the request stands in Kafka"
    assert by_name["sent"]["origin"]["topic"] == "notifications.dev.in-app"


async def test_somebody_elses_notification_looks_like_one_that_does_not_exist(
    ana: httpx2.AsyncClient, ben: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    mine = (await ana.post(SEND, json=request(unique), headers={"Prefer": "wait=5"})).json()["data"]["notification_id"]
    for path in (f"{SEND}/{mine}", f"{SEND}/{mine}/timeline"):
        foreign, missing = await ben.get(path), await ben.get(path.replace(mine, f"ntf_{'a' * 26}"))
        assert foreign.status_code == missing.status_code == 404
        assert foreign.json()["error"] | {"correlation_id": ""} == missing.json()["error"] | {"correlation_id": ""}


async def test_a_recipient_sees_their_own_delivery_and_nobody_elses(
    ana: httpx2.AsyncClient, ben: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    body = request(unique, to=["ana", "ben"])
    sent = (await ana.post(SEND, json=body, headers={"Prefer": "wait=5"})).json()["data"]
    assert {delivery["recipient"] for delivery in sent["deliveries"]} == {"ana", "ben"}
    seen = (await ben.get(f"{SEND}/{sent['notification_id']}")).json()["data"]
    assert [delivery["recipient"] for delivery in seen["deliveries"]] == ["ben"]
    steps = (await ben.get(f"{SEND}/{sent['notification_id']}/timeline")).json()["data"]["events"]
    assert {step.get("recipient") for step in steps} <= {None, "ben"}


async def test_a_page_of_another_site_may_not_read_and_may_not_write(
    api: str, variables: Mapping[str, str], sandbox: object, unique: Callable[[str], str]
) -> None:
    """Without CORS_ORIGINS nobody is listed; a session does not write for a foreign page."""
    async with httpx2.AsyncClient(base_url=api) as browser:
        asked = await browser.options(
            SEND, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        )
        assert asked.status_code == 400
        assert "access-control-allow-origin" not in asked.headers
        await log_in(browser, variables, "ana")
        foreign = await browser.post(SEND, json=request(unique), headers={"Origin": "https://evil.example"})
        own = await browser.post(SEND, json=request(unique), headers={"Origin": api})
    assert (foreign.status_code, own.status_code) == (403, 202)
    assert "access-control-allow-origin" not in foreign.headers


async def test_an_inbox_is_read_page_by_page_newest_first(
    ana: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    texts = [unique("page") for _ in range(5)]
    for text in texts:
        await ana.post(SEND, json={"to": "ana", "message": text}, headers={"Prefer": "wait=5"})

    seen: list[str] = []
    cursor: dict[str, str] = {}
    while len(seen) < 5:
        page = (await ana.get(f"{SEND}/", params={"limit": 2, **cursor})).json()
        seen += [item["message"] for item in page["data"]]
        cursor = {"cursor": page["meta"]["next_cursor"]}
    assert seen[:5] == texts[::-1]
    assert (await ana.get(f"{SEND}/", params={"cursor": "no cursor"})).status_code == 400


async def test_reading_counts_down_once_and_foreign_items_do_not_exist(
    ana: httpx2.AsyncClient, ben: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    text = unique("read")
    await ana.post(SEND, json={"to": "ana", "message": text}, headers={"Prefer": "wait=5"})
    [item] = await titles_with(ana, text)
    unread = (await ana.get(f"{SEND}/unread")).json()["data"]["unread"]

    assert (await ben.post(f"{SEND}/mark-read/{item}")).status_code == 404
    assert (await ben.post(f"{SEND}/mark-seen", json={"ids": [item]})).json()["data"] == {"seen": 0}
    assert (await ana.post(f"{SEND}/mark-seen", json={"ids": [item, NOT_THERE]})).json()["data"] == {"seen": 1}
    assert (await ana.get(f"{SEND}/unread")).json()["data"]["unread"] == unread, "seen is not read"

    twice = [(await ana.post(f"{SEND}/mark-read/{item}")).json()["data"]["unread"] for _ in range(2)]
    assert twice == [unread - 1, unread - 1]
    assert (await ana.post(f"{SEND}/mark-read/{NOT_THERE}")).status_code == 404

    rest = await ana.post(f"{SEND}/mark-all-read")
    assert rest.json()["data"] == {"read": unread - 1, "unread": 0}
    assert all(shown["read_at"] for shown in (await ana.get(f"{SEND}/", params={"limit": 100})).json()["data"])


async def test_a_cloudevent_of_another_kafka_client_keeps_its_id(
    settings: Settings, resources: Resources, workers: Child, unique: Callable[[str], str]
) -> None:
    """CloudEvents binary mode by librdkafka: `ce_id` is the request id."""
    person, event_id = unique("ana"), unique("event")
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, "acks": "all"})
    headers = {"ce_specversion": "1.0", "ce_id": event_id, "ce_type": "order.shipped", "ce_time": "2026-11-01T08:00:00Z"}
    for _ in range(2):
        producer.produce(
            topics.requests("dev"),
            key=person,
            value=json.dumps({"to": person, "type": "order.shipped", "variables": {"order": "42"}}),
            headers={**headers, "content-type": "application/json"},
        )
    assert producer.flush(10) == 0

    expected = notification_id("dev", "kafka", event_id)
    [item] = await eventually(lambda: resources.stores.inbox.newest("dev", person, before=None, limit=10))
    assert (item.notification_id, item.title) == (expected, "Order 42 is on its way")
    rows = await eventually(lambda: _two_rows(resources, expected))
    assert rows == {"in_app": ("SENT", None), "email": ("SKIPPED", "no_address")}
    receipts = await eventually(lambda: _receipts(settings, event_id, 2))
    assert [receipt["verdict"] for receipt in receipts] == ["accepted", "duplicate"]


async def _two_rows(resources: Resources, notification: str) -> dict[str, Any] | None:
    rows = await resources.stores.deliveries.of("dev", notification)
    return {row.channel: (row.state, row.reason) for row in rows} if len(rows) == 2 else None


async def _receipts(settings: Settings, request_id: str, wanted: int) -> list[dict[str, Any]] | None:
    found = [
        document(record)
        for record in await records_of(settings, topics.receipts("dev"))
        if text_headers(record)["ce_id"].split("#")[1] == request_id
    ]
    return found if len(found) == wanted else None


async def test_the_gateways_own_body_still_works(
    ana: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    """Seed 001, once for each kind; `welcome_email` is its own example."""
    body = {
        "user_id": "ana",
        "template_code": "welcome_email",
        "variables": {"name": "John Doe", "link": "https://example.com/verify"},
        "priority": 1,
    }
    for kind, other in (("in_app", {"priority": 9}), ("email", {})):
        request_id = unique("req")
        sent = {**body, **other, "notification_type": kind, "request_id": request_id}
        answer = await ana.post(SEND, json=sent, headers={"Prefer": "wait=5"})
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        assert (data["request_id"], [each["channel"] for each in data["deliveries"]]) == (request_id, [kind])
        assert data["deliveries"][0]["state"] in {"SENT", "SKIPPED"}


async def test_a_listed_origin_may_read_the_answer() -> None:
    """The other half of the rule above, at an application with one origin listed."""
    listed = Settings(_env_file=None, deployment="local", cors_origins=("https://app.example",))
    transport = httpx2.ASGITransport(create_app(listed))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        yes = await client.options(SEND, headers={"Origin": "https://app.example", **preflight})
        no = await client.options(SEND, headers={"Origin": "https://app.example.evil", **preflight})
    assert (yes.status_code, yes.headers["access-control-allow-origin"]) == (200, "https://app.example")
    assert "access-control-allow-credentials" not in yes.headers
    assert no.status_code == 400
    assert "access-control-allow-origin" not in no.headers
