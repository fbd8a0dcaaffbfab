"""Push on the real stack: to every device of a person, by the service of each, and never to whoever had it before."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from infrastructure.local.processes import Child
from infrastructure.local.sandbox.browser import subscription
from infrastructure.resources import Resources
from schemas.deliveries import Delivery
from schemas.devices import Device, FcmDevice, device_of
from schemas.recipients import Contact
from tests.eventually import eventually
from tests.integration.conftest import Fault
from tests.integration.test_email_and_slack import accepted, calls, in_state, send

ME = "/api/v1/people/me/devices"
PUSH: Mapping[str, Any] = {"channels": ["push"]}
Unique = Callable[[str], str]


async def has_a_phone(resources: Resources, person: str, token: str) -> Device:
    device = device_of(FcmDevice(kind="fcm", token=f"token-{token}"), datetime.now(UTC))
    return await resources.stores.devices.register("dev", person, device)


async def all_in(resources: Resources, notification: str, count: int, state: str) -> list[Delivery]:
    async def look() -> list[Delivery] | None:
        rows = await resources.stores.deliveries.of("dev", notification)
        return rows if len(rows) == count and all(row.state == state for row in rows) else None

    return await eventually(look, within_s=30)


async def test_a_push_goes_to_every_device_by_the_service_of_each(
    resources: Resources, sandbox: httpx2.AsyncClient, olga: httpx2.AsyncClient, workers: Child, unique: Unique
) -> None:
    person = unique("person")
    browser = (await sandbox.get(f"/webpush/{person}")).json()
    for device in (
        {"kind": "web", "subscription": browser, "label": "Browser"},
        {"kind": "fcm", "token": f"token-{person}"},
        {"kind": "apns", "token": "cd" * 16 + person.encode().hex()[-32:]},
    ):
        answer = await olga.post(f"/api/v1/people/{person}/devices", params={"environment": "dev"}, json=device)
        assert answer.status_code == 201, answer.text
    listed = (await olga.get(f"/api/v1/people/{person}/devices", params={"environment": "dev"})).json()["data"]
    assert [each["kind"] for each in listed] == ["web", "fcm", "apns"]
    assert not any(secret in str(listed) for secret in (browser["endpoint"], browser["keys"]["auth"], f"token-{person}"))

    message = {"title": "Parcel", "body": "At the door", "url": "/o/42"}
    notification = await send(resources, unique("push"), to=person, message=message, **PUSH)
    rows = await all_in(resources, notification, 3, "SENT")
    seen = [(await calls(sandbox, row))[0] for row in rows]
    assert {call["provider"] for call in seen} == {"web_push", "fcm", "apns"}
    [web] = [call for call in seen if call["provider"] == "web_push"]
    assert {"title": "Parcel", "body": "At the door", "url": "/o/42"}.items() <= web["request"]["message"].items()

    async def noted() -> bool:
        return all(each.last_ok_at for each in await resources.stores.devices.of("dev", person))

    await eventually(noted)


async def test_a_shared_browser_does_not_show_the_earlier_persons(
    resources: Resources,
    sandbox: httpx2.AsyncClient,
    ana: httpx2.AsyncClient,
    ben: httpx2.AsyncClient,
    workers: Child,
    fault: Fault,
    unique: Unique,
) -> None:
    """Neither what is sent after Ben has logged in there, nor what was on its way to Ana."""
    browser = {"kind": "web", "subscription": (await sandbox.get(f"/webpush/{unique('shared')}")).json()}
    device = (await ana.post(ME, json=browser)).json()["data"]["id"]
    await fault("web_push", mode="error", times=2)
    under_way = await send(resources, unique("push"), to="ana", **PUSH)

    async def waits() -> Delivery | None:
        rows = await resources.stores.deliveries.of("dev", under_way)
        plan = await resources.stores.notifications.get("dev", under_way)
        own = {line.delivery_id for line in plan.plan.lines if line.endpoint == device} if plan else set()
        return next((row for row in rows if row.delivery_id in own and row.attempt > 0), None)

    row = await eventually(waits)
    assert (await ben.post(ME, json=browser)).json()["data"]["id"] == device
    assert device not in [each["id"] for each in (await ana.get(ME)).json()["data"]]

    async def ended() -> Delivery | None:
        found = await resources.stores.deliveries.get("dev", under_way, row.delivery_id)
        return found if found and found.state in ("SKIPPED", "SENT") else None

    found = await eventually(ended)
    assert (found.state, found.reason) == ("SKIPPED", "device_gone")
    assert not any(accepted(await calls(sandbox, found)))
    assert (await ben.delete(f"{ME}/{device}")).status_code == 200


async def test_a_device_that_is_gone_is_dropped_and_the_next_push_says_so(
    resources: Resources, sandbox: httpx2.AsyncClient, workers: Child, fault: Fault, unique: Unique
) -> None:
    person = unique("person")
    await has_a_phone(resources, person, person)
    await fault("fcm", mode="permanent", status=404, times=1)
    row = await in_state(resources, await send(resources, unique("push"), to=person, **PUSH), "FAILED")
    assert (row.reason, row.attempt) == ("unregistered", 0)
    assert await resources.stores.devices.of("dev", person) == ()
    again = await send(resources, unique("push"), to=person, **PUSH)

    async def skipped() -> str | None:
        found = await resources.stores.notifications.get("dev", again)
        return found.plan.lines[0].skipped if found else None

    assert await eventually(skipped) == "no_device"


async def test_a_newer_one_replaces_a_push_that_waits_and_what_is_shown_already(
    resources: Resources, sandbox: httpx2.AsyncClient, workers: Child, fault: Fault, unique: Unique
) -> None:
    person = unique("person")
    about: dict[str, Any] = {"collapse_key": unique("order"), **PUSH}
    await has_a_phone(resources, person, person)
    shown = await in_state(resources, await send(resources, unique("shown"), to=person, **about), "SENT")
    await fault("fcm", mode="error", status=503, times=3)
    older = await send(resources, unique("older"), to=person, **about)
    await in_state(resources, older, "RETRY")
    newer = await send(resources, unique("newer"), to=person, **about)
    row = await in_state(resources, older, "SKIPPED")
    assert row.reason == "superseded"
    assert not any(accepted(await calls(sandbox, row)))
    last = await in_state(resources, newer, "SENT")
    tags = {collapse_of((await calls(sandbox, each))[-1]) for each in (shown, last)}
    assert len(tags) == 1, "the newer one takes the place of the one that is shown"
    other = await in_state(resources, await send(resources, unique("other"), to=person, **PUSH), "SENT")
    assert collapse_of((await calls(sandbox, other))[-1]) not in tags


def collapse_of(call: Mapping[str, Any]) -> tuple[str | None, str]:
    android = call["request"]["message"]["android"]
    return android.get("collapse_key"), android["notification"]["tag"]


async def test_a_push_comes_when_nobody_looks_at_the_inbox(
    resources: Resources, sandbox: httpx2.AsyncClient, workers: Child, unique: Unique
) -> None:
    person = unique("person")
    await has_a_phone(resources, person, person)
    steps = [{"after": "1s", "unless": "seen", "channels": ["push"]}]
    notification = await send(resources, unique("push"), to=person, channels=["in_app"], fallback=steps)

    async def pushed() -> Delivery | None:
        rows = await resources.stores.deliveries.of("dev", notification)
        return next((row for row in rows if row.channel == "push" and row.state == "SENT"), None)

    assert accepted(await calls(sandbox, await eventually(pushed, within_s=30))) == [True]


@pytest.mark.parametrize("steps", [(), ({"after": "1s", "unless": "seen", "channels": ["push"]},)])
async def test_an_audience_is_pushed_to_on_every_device_of_everybody(
    resources: Resources, sandbox: httpx2.AsyncClient, workers: Child, unique: Unique, steps: tuple[Any, ...]
) -> None:
    topic, people = unique("topic"), [unique("person") for _ in range(3)]
    for number, person in enumerate(people):
        await resources.stores.contacts.subscribe("dev", person, (topic,))
        for each in range(number):  # the first has none, the second one, the third two
            await has_a_phone(resources, person, f"{person}-{each}")
    channels = ["in_app"] if steps else ["push"]
    request_id = unique("push")
    body: dict[str, Any] = {"to": [{"topic": topic}], "channels": channels} | ({"fallback": list(steps)} if steps else {})
    notification = await send(resources, request_id, **body)

    async def told() -> dict[str, int] | None:
        found = await resources.stores.notifications.get("dev", notification)
        rows = await resources.stores.deliveries.of("dev", notification, found.plan.shards if found else 1)
        pushes = [row for row in rows if row.channel == "push"]
        states = {state: sum(row.state == state for row in pushes) for state in ("SENT", "SKIPPED")}
        return states if sum(states.values()) == 4 else None

    assert await eventually(told, within_s=60) == {"SENT": 3, "SKIPPED": 1}


async def test_a_mail_address_that_bounced_gets_no_more_until_another_is_told(
    resources: Resources, sandbox: httpx2.AsyncClient, olga: httpx2.AsyncClient, workers: Child, fault: Fault, unique: Unique
) -> None:
    person = unique("person")
    path, dev = f"/api/v1/people/{person}", {"environment": "dev"}
    contact = Contact(person=person, email=f"{person}@example.com", email_verified=True)
    await resources.stores.contacts.learn("dev", contact)
    await fault("email", mode="permanent", times=1)
    await in_state(resources, await send(resources, unique("mail"), to=person, channels=["email"]), "FAILED")
    assert (await olga.get(path, params=dev)).json()["data"]["email_state"] == "bounced"
    await resources.stores.contacts.learn("dev", contact)  # another login with the same address proves nothing new
    again = await send(resources, unique("mail"), to=person, channels=["email"])

    async def skipped() -> str | None:
        found = await resources.stores.notifications.get("dev", again)
        return found.plan.lines[0].skipped if found else None

    assert await eventually(skipped) == "bounced"
    told = await olga.patch(path, json={"email": f"new-{person}@example.com"}, params=dev)
    assert told.json()["data"]["email_state"] == "verified"
    await in_state(resources, await send(resources, unique("mail"), to=person, channels=["email"]), "SENT")


async def test_a_subscription_that_is_no_push_services_is_refused(
    ana: httpx2.AsyncClient, sandbox: httpx2.AsyncClient, variables: Mapping[str, str]
) -> None:
    known = subscription(variables["SANDBOX_URL"], "ana")
    for endpoint in ("https://127.0.0.1/", "https://evil.example/", "http://fcm.googleapis.com/", "http://127.0.0.1:1/"):
        answer = await ana.post(ME, json={"kind": "web", "subscription": {**known, "endpoint": endpoint}})
        assert answer.status_code == 422, endpoint
        assert answer.json()["error"]["errors"][0]["pointer"] == "/subscription/endpoint"


async def test_a_browser_finds_the_key_it_subscribes_with(ana: httpx2.AsyncClient) -> None:
    key = (await ana.get("/api/v1/push")).json()["data"]["vapid_public_key"]
    assert len(key) == 87, "an uncompressed point of P-256 in base64url"
