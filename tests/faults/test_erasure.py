"""The worker that forgets dies by SIGKILL in the middle, again and again: what is left in the end is nothing, or others'."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from api.erasing import Erasing
from infrastructure.erasing import Pseudonyms
from infrastructure.kafka.sealing import SealingPublisher
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources, seal_keys
from schemas.erasures import Erasure
from schemas.recipients import Contact
from schemas.topics import Environment
from tests.eventually import eventually
from tests.everything import Place, everything, mentions
from tests.faults.crew import Crew
from tests.faults.flow import ENVIRONMENT, REQUESTS

ALONE, SHARED, KILLS = 240, 10, 3
UAT: Environment = "uat"
OTHERS = ("route", "deliver.in_app", "persist", "schedule")


def erasing_of(resources: Resources) -> Erasing:
    sealing = SealingPublisher(resources.publisher, seal_keys(resources.settings)[0])
    return Erasing(resources.stores.erasures, Pseudonyms.of(resources.settings), sealing)


async def tell(resources: Resources, run: str, number: int, text: str, *people: str) -> None:
    body = {"to": list(people), "message": {"body": text}, "channels": ["in_app"], "request_id": f"{run}-{number}"}
    await resources.publisher.publish(Outgoing(REQUESTS, str(number), json.dumps(body).encode()))


async def rows_of(resources: Resources, person: str) -> int:
    """How many rows of the ledger still name them; quickly, or the worker is done before one has looked."""
    return sum([len(page) async for page in resources.stores.traces.deliveries(ENVIRONMENT, person)])


async def test_an_erasure_goes_on_where_its_worker_was_killed(
    run: str, crew: Crew, resources: Resources, variables: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    person, other, erasing = f"{run}-gone", f"{run}-stays", erasing_of(resources)
    await asyncio.gather(*(crew.add("consumers", name) for name in OTHERS))
    for each in (person, other):
        contact = Contact(person=each, email=f"{each}@example.com", email_verified=True)
        await resources.stores.contacts.learn(ENVIRONMENT, contact)
    await asyncio.gather(*(tell(resources, run, number, f"alone-{run}", person) for number in range(ALONE)))
    await asyncio.gather(*(tell(resources, run, ALONE + number, f"shared-{run}", person, other) for number in range(SHARED)))

    async def named(times: int) -> bool:
        return await rows_of(resources, person) == times and await rows_of(resources, other) == SHARED

    await eventually(lambda: named(ALONE + SHARED), within_s=60)
    await erasing.ask(erasing.command(UAT, person), by="test")
    left = [ALONE + SHARED]

    async def fewer() -> bool:
        now = await rows_of(resources, person)
        if is_less := now < left[-1]:
            left.append(now)
        return is_less

    for _ in range(KILLS):
        worker = await crew.add("consumers", "erase")
        await eventually(fewer, within_s=30)
        await crew.kill(worker)
        await crew.forget_dead("erase")
    assert left[-1] > 0, f"every kill met it in the middle: {left}"
    await crew.add("consumers", "erase")

    async def complete() -> Erasure | None:
        found = await erasing.look(UAT, person)
        return found if found and found.status == "DONE" and found.next_sweep_at is None else None

    done = await eventually(complete, within_s=60)
    with capsys.disabled():
        print(f"\n{ALONE + SHARED} notifications, {crew.kills} kills, {left[1:]} left at each: {dict(done.parts)}")
    places = await everything(variables, ENVIRONMENT, resources.redis)
    assert mentions(places, person, f"alone-{run}") == []
    theirs = [text for where, text in places if where == f"{ENVIRONMENT}-inbox" and other in text]
    assert len([text for text in theirs if f"shared-{run}" in text]) == SHARED
    assert await rows_of(resources, other) == SHARED
    assert (await resources.stores.contacts.get(ENVIRONMENT, other)) is not None
    a_search_that_can_fail(places, other)


def a_search_that_can_fail(places: list[Place], other: str) -> None:
    """It finds whoever is there."""
    assert {found.split()[2].rstrip(":") for found in mentions(places, other)} >= {
        f"{ENVIRONMENT}-{noun}" for noun in ("inbox", "deliveries", "notifications", "contacts")
    }
