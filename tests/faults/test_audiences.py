"""One request to a topic of 600 people; whoever walks it dies by SIGKILL at one step after the other, then the others do.

Some have an address, some have not, some do not want it, and somebody comes after the cutoff: the three ledgers must agree
about each of them. The same when it is cancelled in the middle, and whoever takes it back dies.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.status import read_status
from infrastructure.dynamo.client import open_dynamo
from infrastructure.dynamo.contacts import subscription
from infrastructure.dynamo.tables import SUBSCRIPTIONS
from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from schemas.preference_changes import Change, PreferenceCommand, Setting
from schemas.recipients import Contact
from tests.eventually import eventually
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.dump import dump_of
from tests.faults.flow import ENVIRONMENT, REQUESTS
from tests.faults.ledger_check import Expected, ProducerLedger, check, derived_id
from tests.kafka_log import document, records_of

PEOPLE, WITH_MAIL, UNWILLING = 600, 100, 30
CONCURRENCY = 8
# in this order, each the n-th time that the walker of the moment passes it
DEATHS = (
    ("after:publish.delivery", 90),
    ("before:cursor", 4),
    ("after:cursor", 5),
    ("before:commit", 1),
)
IN_THE_MIDDLE = ("after:cursor", 12)  # each of the 16 shards is one page: its cursor moves when that begins and when it ends
TAKING_BACK = (("before:take_back", 2), ("after:take_back", 3))


@dataclass(frozen=True)
class Crowd:
    """Who belongs to the topic; every number says what the person has and wants."""

    topic: str

    @property
    def people(self) -> list[str]:
        return [f"{self.topic}-reader-{number:04}" for number in range(PEOPLE)]

    @property
    def with_mail(self) -> list[str]:
        return self.people[:WITH_MAIL]

    @property
    def unwilling(self) -> list[str]:
        """Half of them have an address."""
        return self.people[WITH_MAIL - UNWILLING // 2 : WITH_MAIL + UNWILLING // 2]

    @property
    def mailed(self) -> list[str]:
        return [person for person in self.with_mail if person not in self.unwilling]

    def expected(self, notification: str) -> list[Expected]:
        """A contact's own address is the endpoint `primary`."""
        mails = {person: f"{person}@example.com" for person in self.with_mail}
        return [
            Expected(derived_id("dlv_", notification, person, channel, endpoint), notification, address)
            for person in self.people
            for channel, endpoint, address in (("in_app", "", ""), ("email", "primary", mails.get(person, "")))
        ]

    async def gather(self, resources: Resources) -> None:
        shards, table, now = await resources.stores.contacts.shards(ENVIRONMENT), SUBSCRIPTIONS, datetime.now(UTC)
        async with open_dynamo(resources.settings) as dynamo:
            rows = (subscription(self.topic, person, shards, now) for person in self.people)
            await asyncio.gather(*(dynamo.put_soon(table.named(ENVIRONMENT), row, table.key) for row in rows))
        contacts = resources.stores.contacts
        mails = (Contact(person=each, email=f"{each}@example.com", email_verified=True) for each in self.with_mail)
        await asyncio.gather(*(contacts.learn(ENVIRONMENT, contact) for contact in mails))
        off = Change(settings=(Setting(level="topic", name=self.topic, channel="*", enabled=False),))
        commands = (
            PreferenceCommand(environment=ENVIRONMENT, person=each, change_id=f"off-{each}", change=off, at=now)
            for each in self.unwilling
        )
        await asyncio.gather(*(resources.stores.preferences.apply(command) for command in commands))


async def test_an_audience_loses_and_doubles_nobody_whoever_dies(
    run: str,
    crew: Crew,
    resources: Resources,
    variables: Mapping[str, str],
    ledger: ProducerLedger,
    judge: Judge,
    tmp_path: Path,
    provider: object,
) -> None:
    crowd, orders = Crowd(run), tmp_path / "orders"
    crew.extra = {"WORKER_CONCURRENCY": str(CONCURRENCY)}
    others = ("tests.faults.failing_worker", "all", "--but", "expand")
    _, helper = await asyncio.gather(crowd.gather(resources), crew.add(*others))
    notification = await a_campaign(run, resources, ledger, crowd)
    ledger.acknowledged(notification)
    await eventually(lambda: resources.stores.notifications.get(ENVIRONMENT, notification))
    await resources.stores.contacts.subscribe(ENVIRONMENT, f"{run}-late", (crowd.topic,))

    for death in DEATHS:
        await a_walker_dies(crew, orders, *death)
    orders.unlink()
    await crew.kill(helper)  # it routes, delivers, keeps the ledger and the timers
    await asyncio.gather(crew.add(*others), walker(crew, orders))
    since = time.monotonic()

    found = await the_end(resources, notification)
    sent = PEOPLE - UNWILLING + len(crowd.mailed)
    assert found["counts"] == {"SENT": sent, "SKIPPED": 2 * PEOPLE - sent}
    assert (found["audience"]["members"], found["audience"]["planned"]) == (PEOPLE, sent)
    twice = await handed_out_twice(resources, notification)
    report = await judge.compared(since=since, note=f"kills={crew.kills} handed_out_twice={twice}")
    assert twice > 0, "no death was in the middle of a page"
    assert report.acknowledged == 1
    assert len(report.duplicates) <= CONCURRENCY
    dump = await dump_of(variables, run)
    assert not {row["delivery_id"] for row in dump.inbox} & set(report.duplicates)
    reasons = Counter(row["reason"] for row in dump.deliveries if row["state"] == "SKIPPED")
    assert reasons == {
        "preference:topic": UNWILLING + UNWILLING // 2,
        "no_address": PEOPLE - WITH_MAIL,
    }
    a_check_that_can_fail(judge, dump)


async def test_an_audience_cancelled_in_the_middle_is_taken_back_exactly_whoever_dies(
    run: str,
    crew: Crew,
    resources: Resources,
    variables: Mapping[str, str],
    ledger: ProducerLedger,
    judge: Judge,
    tmp_path: Path,
) -> None:
    """Nothing of it is owed any more; what there is of it has to be what the counts say, in all three ledgers."""
    crowd, orders = Crowd(run), tmp_path / "orders"
    await asyncio.gather(crowd.gather(resources), crew.add("tests.faults.failing_worker", "all", "--but", "expand"))
    notification = await a_campaign(run, resources, ledger, crowd)
    await a_walker_dies(crew, orders, *IN_THE_MIDDLE)
    await cancelled(run, resources, notification)
    for death in TAKING_BACK:
        await a_walker_dies(crew, orders, *death)
    orders.unlink()
    await walker(crew, orders)
    since = time.monotonic()

    found = await the_end(resources, notification)
    await judge.compared(since=since, note=f"kills={crew.kills} {found['counts']}")
    dump = await dump_of(variables, run)
    states = Counter(row["state"] for row in dump.deliveries)
    assert found["counts"] == states
    assert {"CANCELLED", "SKIPPED"} <= states.keys() <= {"CANCELLED", "SKIPPED", "SENT"}
    audience, reached = found["audience"], {row["recipient"] for row in dump.deliveries}
    assert (audience["stopped"], audience["members"]) == ("cancelled", len(reached))
    assert (audience["skipped"], audience["planned"]) == (states["SKIPPED"], states["SENT"] + states["CANCELLED"])
    assert 0 < len(reached) < PEOPLE
    assert all("withdrawn_at" in item for item in dump.inbox), "nobody has an item any more, whenever it came"
    assert {row["delivery_id"] for row in dump.deliveries if row["state"] == "SENT"} == {
        call.delivery for call in judge.calls()
    }


async def a_campaign(
    run: str, resources: Resources, ledger: ProducerLedger, crowd: Crowd, send_at: str | None = None
) -> str:
    request_id = f"{run}-campaign"
    notification = derived_id("ntf_", ENVIRONMENT, "kafka", request_id)
    body = {"to": [{"topic": crowd.topic}], "message": {"title": run, "body": "News"}, "request_id": request_id}
    ledger.sending(notification, crowd.expected(notification))
    value = json.dumps(body | {"channels": ["in_app", "email"], "send_at": send_at}).encode()
    await resources.publisher.publish(Outgoing(REQUESTS, request_id, value))
    return notification


async def cancelled(run: str, resources: Resources, notification: str) -> None:
    """Every later step reads the mark."""
    request_id = f"{run}-campaign"
    value = json.dumps({"cancel": request_id}).encode()
    await resources.publisher.publish(Outgoing(f"{REQUESTS}.urgent", request_id, value))

    async def is_marked() -> bool:
        found = await resources.stores.notifications.get(ENVIRONMENT, notification)
        return found is not None and found.cancelled_at is not None

    await eventually(is_marked)


async def walker(crew: Crew, orders: Path) -> Child:
    child, _ = await crew.start("tests.faults.failing_worker", "expand", "--told-by", str(orders))
    return child


async def a_walker_dies(crew: Crew, orders: Path, moment: str, nth: int) -> None:
    """As ordered, and the broker knows it at once."""
    orders.write_text(f"{moment} {nth}", encoding="utf-8")
    victim = await walker(crew, orders)
    async with asyncio.timeout(30):
        await crew.buried(victim)
    assert f"failpoint {moment}" in victim.output, victim.end_of_log()
    await crew.forget_dead("expand")


async def the_end(resources: Resources, notification: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found = await read_status(resources.stores, ENVIRONMENT, notification)
        return found if found and found["status"] == "SETTLED" else None

    return await eventually(look, within_s=60)


async def handed_out_twice(resources: Resources, notification: str) -> int:
    """Records beyond the first of their delivery, on the Kafka topics of both channels."""
    seen: Counter[str] = Counter()
    for channel in ("in-app", "email"):
        records = await records_of(resources.settings, f"notifications.{ENVIRONMENT}.{channel}.bulk")
        found = (document(record) for record in records)
        seen.update(each["delivery_id"] for each in found if each["notification_id"] == notification)
    return seen.total() - len(seen)


def a_check_that_can_fail(judge: Judge, dump: Any) -> None:
    """Somebody's item and row taken away, and the check must name them."""
    victim = dump.inbox[0]["delivery_id"]
    without = type(dump)(
        deliveries=tuple(row for row in dump.deliveries if row["delivery_id"] != victim),
        inbox=dump.inbox[1:],
        notifications=dump.notifications,
    )
    assert check(judge.ledger.path, judge.calls(), without).lost == (victim,)
