"""A newer one replaces what is unsent or unread of the older: on the real stack, and raced in every order."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from schemas import topics
from schemas.deliveries import ENDED, Delivery
from schemas.ids import notification_id
from schemas.plan import Notification
from tests.eventually import eventually
from tests.integration.conftest import Fault, TokenOf
from tests.integration.test_cancel import accepted as accepted_calls
from tests.integration.test_cancel import sent
from tests.integration.test_email_and_slack import accepted, calls, in_state
from tests.integration.test_live import frame, socket_of, until

SEND = "/api/v1/notifications"
PEOPLE, AT_ONCE = 150, 25
Unique = Callable[[str], str]


def an_update(unique: Unique, key: str, **fields: Any) -> dict[str, Any]:
    return {"to": "ana", "message": unique("update"), "request_id": unique("req"), "collapse_key": key} | fields


async def ended(resources: Resources, notification: str, lines: int) -> dict[str, Delivery]:
    """By channel, once all have."""

    async def look() -> dict[str, Delivery] | None:
        rows = await resources.stores.deliveries.of("dev", notification)
        return {row.channel: row for row in rows} if sum(row.state in ENDED for row in rows) == lines else None

    return await eventually(look, within_s=60)


async def test_an_unread_item_goes_from_every_open_page_when_the_newer_one_comes(
    api: str, resources: Resources, ana: httpx2.AsyncClient, bearer_of: TokenOf, workers: Child, unique: Unique
) -> None:
    key = unique("order")
    older, newer = an_update(unique, key), an_update(unique, key)
    async with socket_of(api, "?cursor=", additional_headers=await bearer_of("ana")) as socket:
        first = await sent(ana, older)
        item = (await until(socket, older["message"]))["id"]
        await sent(ana, newer)
        while (told := await frame(socket))["type"] != "recalled":
            pass
    assert told["ids"] == [item]
    texts = [each["message"] for each in (await ana.get(f"{SEND}/")).json()["data"]]
    assert newer["message"] in texts
    assert older["message"] not in texts
    row = await in_state(resources, first, "SKIPPED")
    assert row.reason == "superseded"
    steps = (await ana.get(f"{SEND}/{first}/timeline")).json()["data"]["events"]
    assert [step["event"] for step in steps] == ["accepted", "routed", "sent", "skipped"]


async def test_a_read_item_stays(ana: httpx2.AsyncClient, workers: Child, unique: Unique) -> None:
    key = unique("order")
    older, newer = an_update(unique, key), an_update(unique, key)
    first = await sent(ana, older)
    item = (await ana.get(f"{SEND}/{first}")).json()["data"]["deliveries"][0]["delivery_id"]
    (await ana.post(f"{SEND}/mark-read/{item}")).raise_for_status()
    await sent(ana, newer)
    texts = [each["message"] for each in (await ana.get(f"{SEND}/")).json()["data"]]
    assert {older["message"], newer["message"]} <= set(texts)


async def test_a_mail_that_waits_is_not_sent_any_more(
    resources: Resources, sandbox: httpx2.AsyncClient, ana: httpx2.AsyncClient, workers: Child, fault: Fault, unique: Unique
) -> None:
    key, mail = unique("order"), {"to": {"user": "ana", "email": "ana@example.com"}, "channels": ["email"]}
    await fault("email", mode="error", status=451, times=3)
    first = await sent(ana, an_update(unique, key, **mail), wait=False)
    await in_state(resources, first, "RETRY")
    second = await sent(ana, an_update(unique, key, **mail), wait=False)
    row = await in_state(resources, first, "SKIPPED")
    assert row.reason == "superseded"
    assert accepted(await calls(sandbox, await in_state(resources, second, "SENT"))).count(True) == 1
    assert not any(accepted(await calls(sandbox, row)))


async def test_what_races_in_either_order_and_with_replays_ends_with_the_newest_alone(
    resources: Resources,
    variables: Mapping[str, str],
    workers: Child,
    unique: Unique,
    capsys: pytest.CaptureFixture[str],
) -> None:
    permits, chance = asyncio.Semaphore(AT_ONCE), random.Random(5)
    # every second person's come one after the other, so that some older mails are out by then
    races = [(unique("race"), chance.sample([0, 1, 2, 0, 1], 5), 0.3 * (number % 2)) for number in range(PEOPLE)]

    async def hands_in(person: str, number: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await resources.publisher.publish(a_record(person, number))

    async def raced(
        person: str, order: list[int], apart_s: float
    ) -> tuple[str, list[Notification], list[dict[str, Delivery]]]:
        async with permits:
            await asyncio.gather(*(hands_in(person, number, apart_s * place) for place, number in enumerate(order)))
            ids = [notification_id("dev", "kafka", f"{person}-{number}") for number in range(3)]
            rows = [await ended(resources, each, 2) for each in ids]
            found = [await resources.stores.notifications.get("dev", each) for each in ids]
            return person, [each for each in found if each is not None], rows

    told: Counter[tuple[str, ...]] = Counter()
    ends = await asyncio.gather(*(raced(*race) for race in races))
    taken = accepted_calls(Path(variables["SANDBOX_LEDGER"]))
    for person, notifications, rows in ends:
        last = max(notifications, key=lambda each: (each.accepted_at, each.notification_id))
        newest = notifications.index(last)
        await eventually(partial(only_the_newest, resources, person, last.notification_id))
        for number, row in enumerate(rows):
            inbox = (await ended(resources, notifications[number].notification_id, 2))["in_app"]
            case = "newest" if number == newest else "older", inbox.state, row["email"].state
            told[case] += 1
            assert taken[row["email"].delivery_id] == (row["email"].state == "SENT"), case
    with capsys.disabled():
        print(f"\n{PEOPLE} races of three: " + ", ".join(f"{'/'.join(case)}: {n}" for case, n in sorted(told.items())))
    assert {case for case in told if case[0] == "newest"} == {("newest", "SENT", "SENT")}
    assert {case for case in told if case[0] == "older"} <= {("older", "SKIPPED", "SKIPPED"), ("older", "SKIPPED", "SENT")}


def a_record(person: str, number: int) -> Outgoing:
    """Keyed by request, so that the three of one person are routed side by side."""
    body = {
        "to": {"user": person, "email": f"{person}@example.com"},
        "message": f"Update {number}",
        "channels": ["in_app", "email"],
        "collapse_key": "order-42",
        "request_id": f"{person}-{number}",
    }
    return Outgoing(topics.requests("dev"), f"{person}-{number}", json.dumps(body).encode())


async def only_the_newest(resources: Resources, person: str, newest: str) -> bool:
    """In the inbox, and in the ledger's word about the older ones, which persist writes a little later."""
    items = await resources.stores.inbox.newest("dev", person, before=None, limit=9)
    ids = [notification_id("dev", "kafka", f"{person}-{number}") for number in range(3)]
    rows = [row for each in ids for row in await resources.stores.deliveries.of("dev", each) if row.channel == "in_app"]
    older = {(row.state, row.reason) for row in rows if row.notification_id != newest}
    return [item.notification_id for item in items] == [newest] and older == {("SKIPPED", "superseded")}
