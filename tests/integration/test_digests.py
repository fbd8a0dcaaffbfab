# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""Digests on the real stack: every event in exactly one, when it is due, as each person wants it."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas import topics
from schemas.deliveries import Delivery
from schemas.ids import notification_id
from schemas.live import InboxItem
from tests.eventually import eventually
from tests.integration.test_email_and_slack import calls, in_state
from tests.integration.test_preferences import a_person_with_mail
from tests.kafka_log import document, records_of

SEND = "/api/v1/notifications"
PREFERENCES = "/api/v1/preferences"
PRODUCERS, EVENTS_EACH = 100, 3
Unique = Callable[[str], str]


@pytest.fixture(autouse=True)
async def _somebody_works(workers: Child) -> None:
    """Every test needs them."""


@pytest.fixture
async def choosing(ana: httpx2.AsyncClient) -> AsyncIterator[httpx2.AsyncClient]:
    yield ana
    (await ana.put(PREFERENCES, json={}, headers={"If-Match": "*"})).raise_for_status()


async def send(resources: Resources, person: str, request_id: str, **said: Any) -> str:
    """A raw event under its own key, as a foreign partitioner spreads them."""
    body = {"to": person, "message": {"title": request_id, "body": "Text"}, "request_id": request_id} | said
    await resources.publisher.publish(Outgoing(topics.requests("dev"), request_id, json.dumps(body).encode()))
    return notification_id("dev", "kafka", request_id)


async def digested(resources: Resources, notification: str) -> Delivery:
    return await in_state(resources, notification, "DIGESTED", within_s=60)


async def items(resources: Resources, person: str) -> list[InboxItem]:
    return await resources.stores.inbox.newest("dev", person, before=None, limit=100)


async def the_item(resources: Resources, person: str, within_s: float = 20) -> InboxItem:
    async def look() -> list[InboxItem]:
        return await items(resources, person)

    [found] = await eventually(look, within_s=within_s)
    return found


def told(item: InboxItem) -> dict[str, Any]:
    found: dict[str, Any] = item.data["digest"]
    return found


async def test_a_fixed_window_ends_when_it_is_over_and_sends_one(resources: Resources, unique: Unique) -> None:
    person, how = unique("reader"), {"key": "post-7", "window": "8s", "limit": 2}
    sent = [await send(resources, person, unique(f"event{n}"), digest=how) for n in range(4)]
    rows = [await digested(resources, each) for each in sent]
    [reason] = {row.reason for row in rows}
    item = await the_item(resources, person, within_s=40)
    assert reason == f"digest:{item.notification_id}"
    assert item.created_at - min(row.updated_at for row in rows) >= timedelta(seconds=7.9)
    assert (told(item)["count"], told(item)["more"], len(told(item)["notifications"])) == (4, 2, 2)
    assert item.message.splitlines()[0] == "4 new:"
    assert item.message.splitlines()[-1] == "…and 2 more"


async def test_a_sliding_window_waits_for_silence_and_no_longer_than_its_maximum(
    resources: Resources, unique: Unique
) -> None:
    person, how = unique("reader"), {"window": "2s", "mode": "sliding", "max": "5s"}
    begun = datetime.now(UTC)
    sent = []
    while datetime.now(UTC) - begun < timedelta(seconds=7):
        sent.append(await send(resources, person, unique("event"), digest=how))
        await asyncio.sleep(0.7)

    async def both() -> list[InboxItem]:
        found = await items(resources, person)
        return found if sum(told(item)["count"] for item in found) == len(sent) else []

    second, first = await eventually(both)
    open_for = first.created_at - begun
    assert timedelta(seconds=5) <= open_for < timedelta(seconds=7), "it slid, and its maximum ended it"
    last = (await digested(resources, sent[-1])).updated_at
    assert second.created_at - last >= timedelta(seconds=1.9), "silence ended the other"


async def test_what_became_of_an_event_is_told_everywhere(
    resources: Resources, settings: Settings, ana: httpx2.AsyncClient, unique: Unique
) -> None:
    body: dict[str, Any] = {"to": unique("reader"), "message": "Hi", "request_id": unique("event")}
    body["digest"] = {"window": "8s"}  # still open while we look
    answer = await ana.post(SEND, json=body, headers={"Prefer": "wait=5"})
    assert answer.status_code == 200, answer.text
    event = answer.json()["data"]
    [delivery] = event["deliveries"]
    assert (event["status"], delivery["state"]) == ("SETTLED", "DIGESTED")
    digest = delivery["reason"].removeprefix("digest:")
    waiting = (await ana.get(f"{SEND}/{digest}")).json()["data"]
    assert (waiting["status"], waiting["due_at"]) == ("SCHEDULED", delivery["next_at"])
    assert (await ana.post(f"{SEND}/{digest}/cancel")).status_code == 409
    steps = (await ana.get(f"{SEND}/{event['notification_id']}/timeline")).json()["data"]["events"]
    assert [step["event"] for step in steps] == ["accepted", "routed", "digested"]

    async def is_sent() -> bool:
        found = (await ana.get(f"{SEND}/{digest}")).json()["data"]
        return bool(found["counts"] == {"SENT": 1})

    await eventually(is_sent, within_s=40)

    async def receipts() -> dict[tuple[str, str], dict[str, int]]:
        said = [document(record) for record in await records_of(settings, topics.receipts("dev"))]
        ours = [receipt for receipt in said if receipt.get("notification_id") in (digest, event["notification_id"])]
        found = {(receipt["request_id"], receipt["verdict"]): receipt["counts"] for receipt in ours}
        return found if len(found) == 4 else {}

    found = await eventually(receipts)
    assert found[body["request_id"], "final"] == {"DIGESTED": 1}
    assert found[f"digest:{digest}", "final"] == {"SENT": 1}


async def test_a_person_chooses_a_window_or_each_at_once(
    resources: Resources, choosing: httpx2.AsyncClient, unique: Unique
) -> None:
    """The type gathers for a quarter of an hour; Ana's mail is gathered for two seconds, her inbox not at all."""
    await a_person_with_mail(resources, "ana")
    choices = [
        {"level": "type", "name": "post.commented", "channel": "email", "every": "2s"},
        {"level": "global", "every": "instant"},
    ]
    answer = await choosing.patch(PREFERENCES, json={"digests": choices})
    assert answer.status_code == 200, answer.text
    assert [each["every"] for each in answer.json()["data"]["digests"]] == ["instant", 2.0]
    said = {"type": "post.commented", "message": None, "variables": {"who": "Ben", "post": "P", "text": "Yes"}}
    sent = [
        await send(resources, "ana", unique("event"), channels=["in_app", "email"], digest={"key": unique("post")}, **said)
        for _ in range(2)
    ]
    for each in sent:
        row = await in_state(resources, each, "SENT")
        assert row.channel == "in_app"
        assert (await digested(resources, each)).channel == "email"
    refused = await choosing.patch(PREFERENCES, json={"digests": [{"level": "global", "every": "8d"}]})
    assert refused.status_code == 422
    unallowed = await in_state(resources, await send(resources, "ana", unique("event")), "SENT")
    assert unallowed.channel == "in_app", "what no type gathers, no choice gathers"


async def test_an_hourly_choice_gathers_what_is_offered_by_choice(
    resources: Resources, sandbox: httpx2.AsyncClient, choosing: httpx2.AsyncClient, unique: Unique
) -> None:
    person = await a_person_with_mail(resources, "ana")
    every = [{"level": "category", "name": "news", "channel": "email", "every": "2s"}]
    (await choosing.patch(PREFERENCES, json={"digests": every})).raise_for_status()
    said = {"type": "news.item", "message": None, "channels": ["email"]}
    sent = [
        await send(resources, person, unique("news"), **said, variables={"headline": f"H{n}", "text": "T"}) for n in range(3)
    ]
    reason = (await digested(resources, sent[0])).reason or ""
    row = await in_state(resources, reason.removeprefix("digest:"), "SENT")
    [call] = await calls(sandbox, row)
    assert "3 new: H" in json.dumps(call["request"])


async def test_cancelled_in_an_open_window_it_is_stopped_and_the_others_go(
    resources: Resources, ana: httpx2.AsyncClient, unique: Unique
) -> None:
    person, how = unique("reader"), {"window": "4s"}
    bodies = [
        {"to": person, "message": {"title": f"T{n}", "body": "B"}, "request_id": unique("event"), "digest": how}
        for n in range(3)
    ]
    events = [(await ana.post(SEND, json=body, headers={"Prefer": "wait=5"})).json()["data"] for body in bodies]
    answer = (await ana.post(f"{SEND}/{events[1]['notification_id']}/cancel")).json()["data"]
    assert [each["answer"] for each in answer["deliveries"]] == ["stopped"]
    item = await the_item(resources, person)
    assert (told(item)["count"], item.message) == (2, "2 new:\n• T2\n• T0")
    after = (await ana.post(f"{SEND}/{events[0]['notification_id']}/cancel")).json()["data"]
    assert [each["answer"] for each in after["deliveries"]] == ["sent"]
    assert events[1]["notification_id"] not in told(item)["notifications"]


async def test_a_window_whose_events_are_all_cancelled_sends_nothing(
    resources: Resources, ana: httpx2.AsyncClient, unique: Unique
) -> None:
    person = unique("reader")
    body = {"to": person, "message": "Hi", "request_id": unique("event"), "digest": {"window": "2s"}}
    event = (await ana.post(SEND, json=body, headers={"Prefer": "wait=5"})).json()["data"]
    await ana.post(f"{SEND}/{event['notification_id']}/cancel")
    digest = event["deliveries"][0]["reason"].removeprefix("digest:")

    async def is_empty() -> bool:
        return bool((await ana.get(f"{SEND}/{digest}")).json()["data"]["status"] == "EMPTY")

    await eventually(is_empty)
    assert await items(resources, person) == []


async def test_what_goes_to_an_audience_is_gathered_for_each_of_its_people(resources: Resources, unique: Unique) -> None:
    topic, people = unique("topic"), [unique("reader") for _ in range(20)]
    for person in people:
        await resources.stores.contacts.subscribe("dev", person, (topic,), datetime.now(UTC))
    for n in range(3):
        await send(resources, "", unique(f"news{n}"), to={"topic": topic}, digest={"window": "4s"})
    for person in people:
        item = await the_item(resources, person)
        assert told(item)["count"] == 3


async def test_a_hundred_producers_at_once_and_every_event_is_in_exactly_one_digest(
    resources: Resources, unique: Unique, capsys: pytest.CaptureFixture[str]
) -> None:
    person, chance = unique("reader"), random.Random(7)
    names = [[unique(f"p{producer}") for _ in range(EVENTS_EACH)] for producer in range(PRODUCERS)]

    async def produces(own: list[str]) -> None:
        for name in own:
            await asyncio.sleep(chance.uniform(0, 1.5))
            await send(resources, person, name, digest={"key": "hot", "window": "1s", "limit": 50})
            if chance.random() < 0.3:
                await send(resources, person, name, digest={"key": "hot", "window": "1s", "limit": 50})

    begun = datetime.now(UTC)
    await asyncio.gather(*map(produces, names))
    sent = [notification_id("dev", "kafka", name) for own in names for name in own]
    rows = [await digested(resources, each) for each in sent]
    windows = Counter((row.reason or "").removeprefix("digest:") for row in rows)

    async def all_are_there() -> dict[str, int]:
        found = {item.notification_id: told(item)["count"] for item in await items(resources, person)}
        return found if sum(found.values()) >= len(sent) else {}

    found = await eventually(all_are_there, within_s=60)
    assert found == windows
    assert len(sent) == sum(windows.values()) == PRODUCERS * EVENTS_EACH
    shown = [each for item in await items(resources, person) for each in told(item)["notifications"]]
    assert len(shown) == len(set(shown))
    took = max(row.updated_at for row in rows) - begun
    with capsys.disabled():
        print(
            f"\n{len(sent)} events of {PRODUCERS} producers: {len(windows)} digests, joined in {took.total_seconds():.1f} s"
        )


async def test_a_busy_window_holds_up_nobody_else(
    resources: Resources, unique: Unique, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody's window is written as fast as it goes; what others get meanwhile is there within moments."""
    person = unique("busy")
    flood = [send(resources, person, unique("flood"), digest={"key": "hot", "window": "2s"}) for _ in range(400)]
    flooding = asyncio.gather(*flood)
    waits = []
    for _ in range(10):
        begun = datetime.now(UTC)
        row = await in_state(resources, await send(resources, unique("other"), unique("plain")), "SENT")
        waits.append((row.updated_at - begun).total_seconds())
    for each in await flooding:
        await digested(resources, each)
    with capsys.disabled():
        print(f"\nothers meanwhile: worst {max(waits):.2f} s")
    assert max(waits) < 10
