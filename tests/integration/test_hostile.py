"""One sender's strange requests, and records that somebody else wrote, are nobody else's problem."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx2

from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas.base import iso
from schemas.deliveries import DeliveryRecord
from schemas.events import StatusEvent
from schemas.ids import notification_id
from tests.eventually import eventually
from tests.kafka_log import records_of, text_headers

REQUESTS = "notifications.dev.requests"
Unique = Callable[[str], str]


async def a_settled_item(resources: Resources, person: str, request_id: str) -> str:
    body = {"to": person, "message": "mine", "request_id": request_id}
    await resources.publisher.publish(Outgoing(REQUESTS, person, json.dumps(body).encode()))
    found = notification_id("dev", "kafka", request_id)
    await eventually(lambda: resources.stores.deliveries.of("dev", found))
    return found


async def put_away(settings: Settings, value: bytes) -> str | None:
    """The reason in quarantine, once the record is there."""
    for record in await records_of(settings, "notifications.dev.quarantine"):
        if record.value == value:
            return text_headers(record)["x-dlq-reason"]
    return None


async def test_a_request_of_the_largest_size_waits_and_harms_no_neighbour(
    resources: Resources, ana: httpx2.AsyncClient, workers: Child, unique: Unique
) -> None:
    soon = iso(datetime.now(UTC) + timedelta(seconds=2))
    largest = {"to": "ana", "message": "big", "variables": {"a": '"' * 120_000}, "send_at": soon}
    small = [{"to": unique("p"), "message": "small", "channels": ["in_app"], "send_at": soon} for _ in range(20)]

    answers = await asyncio.gather(*(ana.post("/api/v1/notifications", json=body) for body in [largest, *small]))

    assert {answer.status_code for answer in answers} == {202}
    for body in small:
        person = str(body["to"])
        await eventually(partial(resources.stores.inbox.newest, "dev", person, before=None, limit=1))
    location = answers[0].headers["location"]

    async def settled() -> bool:
        return bool((await ana.get(location)).json()["data"]["status"] == "SETTLED")

    await eventually(settled)


async def test_a_message_too_large_for_an_inbox_is_refused_at_the_door(ana: httpx2.AsyncClient) -> None:
    answer = await ana.post(
        "/api/v1/notifications", json={"to": "ana", "message": {"body": "x", "data": {"a": "y" * 140_000}}}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["errors"][0]["pointer"] == "/message"


async def test_an_expiry_at_the_end_of_time_is_delivered(ana: httpx2.AsyncClient, workers: Child) -> None:
    body = {"to": "ana", "message": "Hi", "expires_at": "9999-12-31T23:59:59Z"}
    answer = await ana.post("/api/v1/notifications", json=body, headers={"Prefer": "wait=5"})
    assert (answer.status_code, answer.json()["data"]["counts"]) == (200, {"SENT": 1})


async def test_what_waits_for_its_time_says_so_also_when_redis_forgot(
    resources: Resources, ana: httpx2.AsyncClient, workers: Child
) -> None:
    body = {"to": "ana", "message": "later", "send_at": iso(datetime.now(UTC) + timedelta(days=2))}
    location = (await ana.post("/api/v1/notifications", json=body)).headers["location"]

    async def scheduled() -> bool:
        data = (await ana.get(location)).json()["data"]
        return bool(data["status"] == "SCHEDULED" and data["due_at"])

    await eventually(scheduled)
    [seen] = [key async for key in resources.redis.scan_iter(f"carillon:dev:seen:{location.split('/')[-1].split('?')[0]}")]
    await resources.redis.delete(seen)
    assert await scheduled()


async def test_a_status_somebody_else_wrote_changes_nothing(
    resources: Resources, settings: Settings, workers: Child, unique: Unique
) -> None:
    person = unique("ana")
    found = await a_settled_item(resources, person, unique("r"))
    [row] = await resources.stores.deliveries.of("dev", found)
    forged = StatusEvent(
        environment="dev", notification_id=found, delivery_id=row.delivery_id, event="failed", state="FAILED",
        at=datetime.now(UTC), version=99, recipient=person, channel="in_app",
    ).model_dump_json().encode()  # fmt: skip

    await resources.publisher.publish(Outgoing("notifications.dev.status", row.delivery_id, forged))

    assert await eventually(lambda: put_away(settings, forged)) == "not_ours"
    assert await resources.stores.deliveries.of("dev", found) == [row]


async def test_a_delivery_somebody_else_wrote_reaches_nobody(
    resources: Resources, settings: Settings, workers: Child, unique: Unique
) -> None:
    found = await a_settled_item(resources, unique("ana"), unique("r"))
    [row] = await resources.stores.deliveries.of("dev", found)
    thief = unique("ben")
    forged = DeliveryRecord(
        environment="dev", notification_id=found, delivery_id=row.delivery_id, recipient=thief, channel="in_app"
    ).model_dump_json().encode()  # fmt: skip

    await resources.publisher.publish(Outgoing("notifications.dev.in-app", thief, forged))

    assert await eventually(lambda: put_away(settings, forged)) == "not_ours"
    assert await resources.stores.inbox.newest("dev", thief, before=None, limit=1) == []


async def test_a_record_for_another_environment_holds_up_nobody(
    resources: Resources, settings: Settings, workers: Child, unique: Unique
) -> None:
    foreign = b'{"environment":"prod","notification_id":"ntf_x","delivery_id":"dlv_x","recipient":"a","channel":"in_app"}'
    await resources.publisher.publish(Outgoing("notifications.dev.in-app", "a", foreign))
    assert await eventually(lambda: put_away(settings, foreign)) == "not_ours"
    await a_settled_item(resources, unique("ana"), unique("r"))


async def test_a_body_without_an_end_is_cut_off_before_anybody_is_asked_who_sends_it(api: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 65_536

    async with httpx2.AsyncClient(base_url=api) as anybody:
        answer = await anybody.post("/api/v1/notifications/mark-seen", content=endless())
    assert answer.status_code == 413


async def test_a_page_cursor_that_is_none_is_a_problem_of_the_caller(ana: httpx2.AsyncClient) -> None:
    for cursor in ("", "%00", "abc", "Li4v"):
        assert (await ana.get(f"/api/v1/notifications/?cursor={cursor}")).status_code == 400
