# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""A topic of 1,200 people on the real stack: everybody once, though the walk is killed or cancelled in the middle.

In an environment of its own with one shard, so that the walk has pages; its other workers run inside the test.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from api.status import read_status
from consumers.workers import workers_of
from infrastructure.dynamo.client import Dynamo, open_dynamo
from infrastructure.dynamo.contacts import subscription
from infrastructure.dynamo.tables import SUBSCRIPTIONS, create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Child, Processes
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources, open_resources
from infrastructure.settings import Settings
from schemas import topics
from schemas.audiences import PAGE, Progress
from schemas.ids import notification_id
from tests.eventually import eventually
from tests.integration.conftest import TokenOf
from tests.integration.test_email_and_slack import in_state
from tests.kafka_log import document, records_of
from tests.product import start_module

HOME: topics.Environment = "prod"
PEOPLE = 1200
OWN = {"ENVIRONMENTS": HOME, "DEFAULT_ENVIRONMENT": HOME, "AUDIENCE_SHARDS": "1", "KAFKA_SESSION_TIMEOUT_S": "6"}
SEND = "/api/v1/notifications"


@dataclass(frozen=True)
class House:
    """The environment, its other workers at work, and how to start the walker as a process that can be killed."""

    resources: Resources
    dynamo: Dynamo
    start_walker: Callable[..., Awaitable[Child]]

    async def send(self, request_id: str, body: dict[str, Any], priority: topics.Priority = "normal") -> str:
        value = json.dumps(body).encode()
        await self.resources.publisher.publish(Outgoing(topics.requests(HOME, priority), request_id, value))
        return notification_id(HOME, "kafka", request_id)

    async def has_a_plan(self, notification: str) -> None:
        await eventually(lambda: self.resources.stores.notifications.get(HOME, notification))

    async def is_in_the_middle(self, notification: str) -> Progress:
        """One page is behind it, at least one before it."""

        async def look() -> Progress | None:
            found = await self.resources.stores.expansions.get(HOME, notification, 0)
            return found if found.version else None

        return await eventually(look, within_s=40)

    async def is_within_a_page(self, notification: str) -> None:
        """Some of its second page is done, and the cursor does not know it yet."""
        await self.is_in_the_middle(notification)

        async def look() -> bool:
            found = await self.resources.stores.notifications.get(HOME, notification)
            assert found is not None
            counts = (await self.resources.stores.deliveries.tally(HOME, notification, found.plan.shards)).states
            return counts["SKIPPED"] > PAGE

        await eventually(look)

    async def the_end(self, notification: str) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            found = await read_status(self.resources.stores, HOME, notification)
            return found if found and found["status"] == "SETTLED" else None

        return await eventually(look, within_s=60)

    async def inboxes(self, people: list[str], notification: str) -> Counter[str]:
        """How many items of this notification each of them has."""
        inbox, permits = self.resources.stores.inbox, asyncio.Semaphore(16)

        async def count(person: str) -> int:
            async with permits:
                items = await inbox.newest(HOME, person, before=None, limit=50)
            return sum(item.notification_id == notification for item in items)

        counts = await asyncio.gather(*map(count, people))
        return +Counter(dict(zip(people, counts, strict=True)))


@pytest.fixture
async def house(settings: Settings, variables: Mapping[str, str], processes: Processes) -> AsyncIterator[House]:
    changes = {"environments": (HOME,), "default_environment": HOME, "audience_shards": 1}
    own = settings.model_copy(update=changes)
    await create_topics(own)
    await create_tables(own)
    walkers: list[Child] = []

    async def start_walker(**told: str) -> Child:
        extra = OWN | {"WORKER_PORT": str(any_free_port())} | told
        name = f"walker-{any_free_port()}"
        walkers.append(await start_module(processes, name, "consumers", "expand", variables=variables, extra=extra))
        return walkers[-1]

    async with (
        open_dynamo(own) as dynamo,
        open_resources(own) as resources,
        at_work(resources, "route", "deliver.in_app", "persist", "schedule"),
    ):
        yield House(resources, dynamo, start_walker)
    for walker in walkers:
        await walker.stop()


@asynccontextmanager
async def at_work(resources: Resources, *names: str) -> AsyncIterator[None]:
    workers = [named.worker for name in names for named in workers_of(name, resources)]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    yield
    for worker in workers:
        worker.stop()
    await asyncio.gather(*running)


@pytest.fixture
async def crowd(house: House, unique: Callable[[str], str]) -> tuple[str, list[str]]:
    """A topic and the people in it, none of whom has an address."""
    topic = unique("news")
    people = [f"{topic}-{number:04}" for number in range(PEOPLE)]
    table, dynamo = SUBSCRIPTIONS.named(HOME), house.dynamo
    now = datetime.now(UTC)
    await house.resources.stores.contacts.shards(HOME)
    rows = (subscription(topic, person, 1, now) for person in people)
    await asyncio.gather(*(dynamo.put_soon(table, row, SUBSCRIPTIONS.key) for row in rows))
    return topic, people


def a_campaign(topic: str, request_id: str) -> dict[str, Any]:
    """By mail as well, which nobody of them has: so that there are skips."""
    return {"to": [{"topic": topic}], "message": "News", "channels": ["in_app", "email"], "request_id": request_id}


async def test_a_walk_that_is_killed_in_the_middle_reaches_everybody_once(
    house: House, crowd: tuple[str, list[str]], unique: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    topic, people = crowd
    contacts = house.resources.stores.contacts
    await contacts.unsubscribe(HOME, people[-1], (topic,))
    late = f"{topic}-9-late"

    async def killed_within_a_page() -> str | None:
        """None where the walk was over before it could be killed: on a busy machine we may look too late."""
        await contacts.unsubscribe(HOME, late, (topic,))
        notification = await house.send(request_id := unique("kill"), a_campaign(topic, request_id))
        await house.has_a_plan(notification)
        await contacts.subscribe(HOME, late, (topic,))
        victim = await house.start_walker()
        await house.is_within_a_page(notification)
        victim.process.kill()
        await victim.process.wait()
        found = await read_status(house.resources.stores, HOME, notification)
        assert found is not None
        return None if found["audience"]["done"] else notification

    notification = await eventually(killed_within_a_page, within_s=120)

    await house.start_walker()
    found = await house.the_end(notification)
    reached = PEOPLE - 1
    assert found["counts"] == {"SENT": reached, "SKIPPED": reached}
    assert (found["audience"]["members"], found["audience"]["planned"]) == (reached, reached)
    assert await house.inboxes([*people, late], notification) == Counter(people[:-1])
    records = await records_of(house.resources.settings, topics.deliveries(HOME, "in_app", "bulk"))
    mine = Counter(each["delivery_id"] for each in map(document, records) if each["notification_id"] == notification)
    with capsys.disabled():
        print(f"\nkilled at {reached} people: {mine.total() - len(mine)} records handed out twice, and absorbed")
    assert len(mine) == reached
    assert mine.total() - len(mine) <= PAGE, "only the page it died in is repeated"


async def test_a_walk_that_is_cancelled_in_the_middle_stops_and_its_counts_are_exact(
    house: House, crowd: tuple[str, list[str]], unique: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    topic, people = crowd
    notification = await house.send(request_id := unique("cancel"), a_campaign(topic, request_id))
    await house.has_a_plan(notification)
    await house.start_walker()
    await house.is_in_the_middle(notification)
    await house.send(unique("by"), {"cancel": request_id}, "urgent")
    found = await house.the_end(notification)
    audience, counts = found["audience"], Counter(found["counts"])
    with capsys.disabled():
        print(f"\ncancelled after {audience['members']} of {PEOPLE} people: {dict(counts)}")
    assert (audience["stopped"], audience["done"]) == ("cancelled", True)
    assert PAGE <= audience["members"] < PEOPLE
    assert counts["SENT"] + counts["CANCELLED"] == audience["planned"] == audience["members"]
    assert counts["SKIPPED"] == audience["skipped"] == audience["members"]
    assert (await house.inboxes(people, notification)).total() == counts["SENT"]


async def test_a_walk_rests_while_a_channel_is_behind_and_goes_on_by_itself(
    house: House, sandbox: object, unique: Callable[[str], str]
) -> None:
    """Nobody delivers the mail that waits there already; that of the audience is behind it."""
    topic, people, resources = unique("news"), [unique("reader") for _ in range(20)], house.resources
    for person in people:
        await resources.stores.contacts.subscribe(HOME, person, (topic,))

    async def a_mail() -> str:
        body = {"to": {"email": "ana@example.com"}, "message": "Hi", "priority": "bulk", "request_id": unique("mail")}
        notification = await house.send(str(body["request_id"]), body, "bulk")
        await house.has_a_plan(notification)
        return notification

    async with at_work(resources, "deliver.email"):
        await in_state(resources, await a_mail(), "SENT", HOME)
    waits = await a_mail()
    notification = await house.send(request_id := unique("behind"), a_campaign(topic, request_id))
    await house.has_a_plan(notification)
    walker = await house.start_walker(BULK_BACKLOG_MAX_S="0.2")

    async def rests() -> bool:
        return '"audience.rests"' in walker.output

    await eventually(rests, within_s=40)
    found = await read_status(resources.stores, HOME, notification)
    assert found is not None
    assert (found["audience"]["members"], found["audience"]["done"]) == (0, False)
    async with at_work(resources, "deliver.email"):
        await in_state(resources, waits, "SENT", HOME)
        assert (await house.the_end(notification))["counts"] == {"SENT": len(people), "SKIPPED": len(people)}


async def test_whoever_sent_it_sees_how_far_it_is_and_who_got_it_sees_their_own(
    api: str, ben: httpx2.AsyncClient, bearer_of: TokenOf, workers: Child, resources: Resources, unique: Callable[[str], str]
) -> None:
    topic = unique("sport")
    people = ["ben", *(unique("fan") for _ in range(30))]
    for person in people:
        await resources.stores.contacts.subscribe("dev", person, (topic,))
    async with httpx2.AsyncClient(base_url=api, headers=await bearer_of("olga"), timeout=30) as olga:
        body = {"to": ["ana", {"topic": topic}], "message": unique("goal"), "channels": ["in_app"]}
        answer = await olga.post(SEND, json=body)
        assert answer.status_code == 202, answer.text
        notification = answer.json()["data"]["notification_id"]

        async def settled() -> dict[str, Any] | None:
            found: dict[str, Any] = (await olga.get(f"{SEND}/{notification}")).json()["data"]
            return found if found["status"] == "SETTLED" else None

        found = await eventually(settled)
        assert found["counts"] == {"SENT": len(people) + 1}
        assert [(each["recipient"], each["state"]) for each in found["deliveries"]] == [("ana", "SENT")]
        shards = found["audience"]["of_shards"]
        assert (found["audience"]["members"], found["audience"]["expanded"]) == (len(people), shards)
        own = (await ben.get(f"{SEND}/{notification}")).json()["data"]
        assert [(each["recipient"], each["state"]) for each in own["deliveries"]] == [("ben", "SENT")]
        assert (own["counts"], "audience" in own) == ({}, False)

        cancelled = await olga.post(f"{SEND}/{notification}/cancel")
        assert cancelled.status_code == 202, cancelled.text
        told = cancelled.json()["data"]
        assert [each["answer"] for each in told["deliveries"]] == ["recalled"]
        assert (told["status"], told["audience"]["members"]) == ("CANCELLING", len(people))

        async def all_taken_back() -> bool:
            found = await settled()
            return found is not None and found["counts"] == {"CANCELLED": len(people) + 1}

        await eventually(all_taken_back)
    assert body["message"] not in {item["message"] for item in (await ben.get(f"{SEND}/")).json()["data"]}
