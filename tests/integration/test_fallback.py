"""Further channels until somebody has seen it: on the real stack, and raced against the reading itself."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas import topics
from schemas.deliveries import Delivery
from schemas.ids import notification_id
from tests.eventually import eventually
from tests.integration.test_cancel import accepted as accepted_calls
from tests.integration.test_cancel import sent
from tests.integration.test_email_and_slack import accepted, calls, in_state, send
from tests.kafka_log import document, records_of

SEND = "/api/v1/notifications"
PAIRS, AT_ONCE = 300, 30
EARLIEST_S, LATEST_S = -0.4, 0.6  # of the reading, seen from when the step is due
SOON = {"after": "1s", "unless": "seen", "channels": ["email"]}
Unique = Callable[[str], str]


def a_request(unique: Unique, **fields: Any) -> dict[str, Any]:
    to = {"user": "ana", "email": "ana@example.com"}
    return {"to": to, "message": unique("fallback"), "request_id": unique("req"), "fallback": [SOON]} | fields


async def the_further(resources: Resources, notification: str, channel: str) -> Delivery:
    """What came of the step on this channel."""

    async def look() -> Delivery | None:
        rows = await resources.stores.deliveries.of("dev", notification)
        return next((row for row in rows if row.channel == channel and row.state != "IN_FLIGHT"), None)

    return await eventually(look)


async def the_mail(resources: Resources, notification: str) -> Delivery:
    return await the_further(resources, notification, "email")


async def the_item(ana: httpx2.AsyncClient, notification: str) -> str:
    async def look() -> str | None:
        items = (await ana.get(f"{SEND}/")).json()["data"]
        return next((each["id"] for each in items if each["notification_id"] == notification), None)

    return await eventually(look)


async def final_counts(settings: Settings, request_id: str) -> dict[str, int]:
    """What the producer is told once every step has ended."""

    async def look() -> dict[str, int] | None:
        receipts = [document(each) for each in await records_of(settings, topics.receipts("dev"))]
        mine = [each for each in receipts if (each["request_id"], each["verdict"]) == (request_id, "final")]
        return mine[-1]["counts"] if mine else None

    return await eventually(look)


async def test_who_does_not_look_gets_a_mail_after_the_wait(
    resources: Resources,
    settings: Settings,
    sandbox: httpx2.AsyncClient,
    ana: httpx2.AsyncClient,
    workers: Child,
    unique: Unique,
) -> None:
    body = a_request(unique)
    notification = await sent(ana, body, wait=False)
    stored = await in_state(resources, notification, "SENT")
    assert stored.channel == "in_app"
    waiting = (await ana.get(f"{SEND}/{notification}")).json()["data"]
    assert (waiting["status"], waiting["counts"]) == ("DELIVERING", {"SENT": 1, "PENDING": 1})
    assert waiting["deliveries"][1]["reason"] == "waits_unless_seen"
    assert datetime.fromisoformat(waiting["deliveries"][1]["next_at"]) > stored.updated_at
    mail = await the_mail(resources, notification)
    assert mail.state == "SENT"
    assert mail.claimed_at is not None
    assert mail.claimed_at - stored.updated_at >= timedelta(seconds=1)
    assert accepted(await calls(sandbox, mail)) == [True]
    assert await final_counts(settings, body["request_id"]) == {"SENT": 2}
    steps = (await ana.get(f"{SEND}/{notification}/timeline")).json()["data"]["events"]
    assert [step["event"] for step in steps] == ["accepted", "routed", "planned", "sent", "sent"]


@pytest.mark.parametrize(("unless", "done"), [("seen", "seen"), ("seen", "read"), ("clicked", "clicked")])
async def test_no_further_channel_after_an_answer(
    resources: Resources,
    settings: Settings,
    sandbox: httpx2.AsyncClient,
    ana: httpx2.AsyncClient,
    workers: Child,
    unique: Unique,
    unless: str,
    done: str,
) -> None:
    body = a_request(unique, fallback=[SOON | {"unless": unless}])
    notification = await sent(ana, body, wait=False)
    item = await the_item(ana, notification)
    if done == "seen":
        answer = await ana.post(f"{SEND}/mark-seen", json={"ids": [item]})
    else:
        answer = await ana.post(f"{SEND}/mark-{done}/{item}")
    assert answer.status_code == 200, answer.text
    mail = await the_mail(resources, notification)
    assert (mail.state, mail.reason) == ("SKIPPED", done)
    assert await calls(sandbox, mail) == []
    assert await final_counts(settings, body["request_id"]) == {"SENT": 1, "SKIPPED": 1}


async def test_to_have_read_is_not_to_have_clicked(
    resources: Resources, ana: httpx2.AsyncClient, workers: Child, unique: Unique
) -> None:
    notification = await sent(ana, a_request(unique, fallback=[SOON | {"unless": "clicked"}]), wait=False)
    await ana.post(f"{SEND}/mark-read/{await the_item(ana, notification)}")
    assert (await the_mail(resources, notification)).state == "SENT"


async def test_a_waiting_step_is_stopped_by_a_cancellation(
    resources: Resources, sandbox: httpx2.AsyncClient, ana: httpx2.AsyncClient, workers: Child, unique: Unique
) -> None:
    notification = await sent(ana, a_request(unique), wait=False)
    await the_item(ana, notification)
    answer = await ana.post(f"{SEND}/{notification}/cancel")
    told = {each["channel"]: each["answer"] for each in answer.json()["data"]["deliveries"]}
    assert told == {"in_app": "recalled", "email": "stopped"}
    mail = await the_mail(resources, notification)
    assert mail.state == "CANCELLED"

    async def has_fired() -> bool:
        due = await asyncio.gather(
            *(resources.stores.timers.due("dev", shard, datetime.now(UTC) + timedelta(days=1), 999) for shard in range(4))
        )
        return not any(mail.delivery_id in timer.timer_id for found in due for timer in found)

    await eventually(has_fired)
    assert await calls(sandbox, mail) == []


@pytest.mark.parametrize("looks", [False, True])
async def test_a_person_with_a_slack_target_has_their_further_step_there(
    resources: Resources, sandbox: httpx2.AsyncClient, ana: httpx2.AsyncClient, workers: Child, unique: Unique, looks: bool
) -> None:
    body = a_request(unique, to={"user": "ana", "slack": "default"}, fallback=[SOON | {"channels": ["slack"]}])
    notification = await sent(ana, body, wait=False)
    if looks:
        (await ana.post(f"{SEND}/mark-seen", json={"ids": [await the_item(ana, notification)]})).raise_for_status()
    message = await the_further(resources, notification, "slack")
    assert (message.recipient, message.state, message.reason) == (
        ("ana", "SKIPPED", "seen") if looks else ("ana", "SENT", None)
    )
    found = await calls(sandbox, message)
    assert accepted(found) == ([] if looks else [True])
    assert all(body["message"] in str(call["request"]) for call in found)


async def test_who_wants_no_inbox_items_gets_the_mail_at_once(
    resources: Resources, ana: httpx2.AsyncClient, workers: Child, unique: Unique
) -> None:
    off = {"level": "category", "name": "fallback", "channel": "in_app", "enabled": False}
    (await ana.patch("/api/v1/preferences", json={"choices": [off]})).raise_for_status()
    try:
        body = a_request(unique, category="fallback", fallback=[SOON | {"after": "1h"}])
        mail = await the_mail(resources, await sent(ana, body, wait=False))
    finally:
        (await ana.put("/api/v1/preferences", json={}, headers={"If-Match": "*"})).raise_for_status()
    assert mail.state == "SENT"


async def test_a_fallback_that_has_nothing_to_look_at_is_refused_by_name(ana: httpx2.AsyncClient, unique: Unique) -> None:
    answer = await ana.post(SEND, json=a_request(unique, channels=["email"]))
    assert answer.status_code == 422, answer.text
    assert [each["pointer"] for each in answer.json()["error"]["errors"]] == ["/fallback/0/unless"]


async def test_hundreds_of_races_and_no_mail_was_begun_after_the_reading(
    resources: Resources,
    variables: Mapping[str, str],
    workers: Child,
    unique: Unique,
    capsys: pytest.CaptureFixture[str],
) -> None:
    permits, chance = asyncio.Semaphore(AT_ONCE), random.Random(11)
    run = [(unique("race"), timedelta(seconds=chance.uniform(EARLIEST_S, LATEST_S))) for _ in range(PAIRS)]

    async def raced(request_id: str, offset: timedelta) -> tuple[datetime, Delivery]:
        async with permits:
            to = {"user": request_id, "email": f"{request_id}@example.com"}
            notification = await send(resources, request_id, to=to, fallback=[SOON | {"unless": "read"}])
            item = await in_state(resources, notification, "SENT", within_s=60)
            due = item.updated_at + timedelta(seconds=1) + offset
            await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
            assert await resources.stores.inbox.mark_read("dev", request_id, item.delivery_id, datetime.now(UTC))
            acknowledged = datetime.now(UTC)
            return acknowledged, await the_mail(resources, notification_id("dev", "kafka", request_id))

    ended = await asyncio.gather(*(raced(*pair) for pair in run))
    taken = accepted_calls(Path(variables["SANDBOX_LEDGER"]))
    told = Counter((mail.state, mail.reason, taken[mail.delivery_id]) for _, mail in ended)
    late = [mail for read_at, mail in ended if taken[mail.delivery_id] and mail.claimed_at and mail.claimed_at > read_at]
    with capsys.disabled():
        print(f"\n{PAIRS} races: " + ", ".join(f"{'/'.join(map(str, case))}: {n}" for case, n in sorted(told.items())))
    assert told.keys() == {("SENT", None, 1), ("SKIPPED", "read", 0)}, "the race went both ways, and nobody got two"
    assert late == []
