# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""What people choose holds before the next send: on the real stack, by every door that changes it."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
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
from schemas.preference_changes import Change, PreferenceCommand, Setting
from schemas.recipients import Contact
from schemas.requests import CHANNELS
from tests.eventually import eventually
from tests.integration.conftest import Fault
from tests.integration.test_email_and_slack import accepted, calls, in_state, send
from tests.kafka_log import document, records_of
from tests.tokens import log_in

PREFERENCES = "/api/v1/preferences"
OLD = "/api/v1/notifications/preferences"
Unique = Callable[[str], str]


@pytest.fixture(autouse=True)
async def _nobody_has_chosen_anything(workers: Child, ana: httpx2.AsyncClient) -> AsyncIterator[None]:
    yield
    (await ana.put(PREFERENCES, json={}, headers={"If-Match": "*"})).raise_for_status()


def switch(level: str, name: str, *, enabled: bool | None, channel: str = "*") -> dict[str, Any]:
    return {"level": level, "name": name, "channel": channel, "enabled": enabled}


async def choose(client: httpx2.AsyncClient, *switches: dict[str, Any], **others: Any) -> dict[str, Any]:
    answer = await client.patch(PREFERENCES, json={"choices": switches, **others})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


async def a_person_with_mail(resources: Resources, person: str) -> str:
    contact = Contact(person=person, email=f"{person}@example.com", email_verified=True)
    await resources.stores.contacts.learn("dev", contact)
    return person


async def test_what_is_switched_off_is_skipped_in_the_plan_with_its_reason(
    resources: Resources, ana: httpx2.AsyncClient, unique: Unique
) -> None:
    await choose(ana, switch("category", "offers", enabled=False), switch("global", "", enabled=True))
    skipped = await send(resources, unique("offer"), to="ana", category="offers")
    row = await in_state(resources, skipped, "SKIPPED")
    assert (row.reason, row.channel) == ("preference:category", "in_app")
    await in_state(resources, await send(resources, unique("order"), to="ana", category="orders"), "SENT")


async def test_an_opt_out_between_routing_and_sending_holds(
    resources: Resources, sandbox: httpx2.AsyncClient, ana: httpx2.AsyncClient, fault: Fault, unique: Unique
) -> None:
    """Every attempt is refused for now; before the last one the person has switched the category off."""
    await fault("email", mode="error", status=451, times=3)
    notification = await send(
        resources, unique("offer"), to={"user": "ana", "email": "ana@example.com"}, channels=["email"], category="offers"
    )
    await in_state(resources, notification, "RETRY")
    await choose(ana, switch("category", "offers", enabled=False, channel="email"))
    row = await in_state(resources, notification, "SKIPPED")
    assert row.reason == "preference:category"
    seen = await calls(sandbox, row)
    assert seen
    assert not any(accepted(seen)), "nothing went out after the opt-out"
    assert all(datetime.fromisoformat(call["received_at"]) <= row.updated_at for call in seen)


async def test_a_mute_counts_for_everything_but_the_mandatory(
    resources: Resources, ana: httpx2.AsyncClient, unique: Unique
) -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await choose(ana, muted_until=until)
    muted = await in_state(resources, await send(resources, unique("m"), to="ana", priority="urgent"), "SKIPPED")
    assert muted.reason == "muted"
    await in_state(resources, await send(resources, unique("m"), to="ana", category="security"), "SENT")


async def test_quiet_hours_hold_what_goes_out_and_fill_the_inbox(
    resources: Resources, sandbox: httpx2.AsyncClient, ana: httpx2.AsyncClient, unique: Unique
) -> None:
    now = datetime.now(UTC)
    window = {"start": f"{now - timedelta(minutes=5):%H:%M}", "end": f"{now + timedelta(hours=2):%H:%M}", "zone": "UTC"}
    shown = await choose(ana, quiet_hours=window)
    assert shown["quiet_hours"] == window
    to: dict[str, Any] = {"to": {"user": "ana", "email": "ana@example.com"}, "channels": ["in_app", "email"]}
    held = await send(resources, unique("m"), **to)
    row = await in_state(resources, held, "RETRY")
    assert (row.channel, row.reason, row.attempt) == ("email", "quiet_hours", 0)
    assert row.next_at is not None
    assert timedelta(minutes=110) < row.next_at - now < timedelta(minutes=126)
    assert (await in_state(resources, held, "SENT")).channel == "in_app"
    urgent = await send(resources, unique("m"), priority="urgent", **to | {"channels": ["email"]})
    assert accepted(await calls(sandbox, await in_state(resources, urgent, "SENT"))) == [True]
    late = (now + timedelta(minutes=30)).isoformat()
    expired = await in_state(
        resources, await send(resources, unique("m"), expires_at=late, **to | {"channels": ["email"]}), "EXPIRED"
    )
    assert expired.reason == "deadline_passed:quiet_hours"


async def test_of_many_who_replace_the_same_version_one_wins(ana: httpx2.AsyncClient) -> None:
    etag = (await ana.get(PREFERENCES)).headers["ETag"]
    bodies = [{"choices": [switch("topic", f"t{n}", enabled=False)]} for n in range(6)]
    answers = await asyncio.gather(*(ana.put(PREFERENCES, json=body, headers={"If-Match": etag}) for body in bodies))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 5}
    [winner] = [answer for answer in answers if answer.status_code == 200]
    assert winner.json()["data"]["choices"] == (await ana.get(PREFERENCES)).json()["data"]["choices"]
    assert winner.headers["ETag"] != etag


async def test_a_whole_needs_to_say_what_it_replaces(ana: httpx2.AsyncClient) -> None:
    assert (await ana.put(PREFERENCES, json={})).status_code == 428
    for tag in ('"99"', 'W/"0"', "0"):
        assert (await ana.put(PREFERENCES, json={}, headers={"If-Match": tag})).status_code == 412
    stale = await ana.patch(PREFERENCES, json={}, headers={"If-Match": '"99"'})
    assert (stale.status_code, stale.json()["error"]["type"]) == (412, "version_mismatch")


async def test_what_get_says_put_takes_back(ana: httpx2.AsyncClient) -> None:
    await choose(ana, switch("category", "offers", enabled=False), switch("topic", "news", enabled=True, channel="email"))
    read = await ana.get(PREFERENCES)
    again = await ana.put(PREFERENCES, json=read.json()["data"], headers={"If-Match": read.headers["ETag"]})
    assert (again.status_code, again.headers["ETag"]) == (200, read.headers["ETag"]), "nothing changed: the same version"
    assert read.json()["meta"]["effective"]["offers"] == dict.fromkeys(CHANNELS, False)
    assert read.json()["meta"]["effective"]["security"]["email"] is True


async def test_a_mandatory_category_cannot_be_switched_off(ana: httpx2.AsyncClient) -> None:
    answer = await ana.patch(PREFERENCES, json={"choices": [switch("category", "security", enabled=False)]})
    assert (answer.status_code, answer.json()["error"]["errors"][0]["pointer"]) == (422, "/choices/0")


async def test_one_chooses_for_oneself_alone(ana: httpx2.AsyncClient, ben: httpx2.AsyncClient, api: str) -> None:
    await choose(ana, switch("category", "offers", enabled=False))
    assert (await ben.get(PREFERENCES)).json()["data"]["choices"] == []
    async with httpx2.AsyncClient(base_url=api) as nobody:
        assert (await nobody.get(PREFERENCES)).status_code == 401
        assert (await nobody.patch(PREFERENCES, json={})).status_code == 401
        assert (await nobody.get(OLD)).status_code == 401


async def test_a_session_changes_them_too_and_a_foreign_page_does_not(
    api: str, variables: Mapping[str, str], ana: httpx2.AsyncClient
) -> None:
    async with httpx2.AsyncClient(base_url=api) as browser:
        await log_in(browser, variables, "ana")
        body = {"choices": [switch("category", "offers", enabled=False)]}
        foreign = await browser.patch(PREFERENCES, json=body, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert (await browser.patch(PREFERENCES, json=body, headers={"Origin": api})).status_code == 200
    assert len((await ana.get(PREFERENCES)).json()["data"]["choices"]) == 1


async def test_a_command_that_is_read_again_changes_nothing(
    resources: Resources, settings: Settings, ana: httpx2.AsyncClient, unique: Unique
) -> None:
    await choose(ana, switch("category", "offers", enabled=False))
    [*_, first] = [each for each in await records_of(settings, topics.preferences("dev")) if each.key == b"ana"]
    await choose(ana, switch("category", "offers", enabled=True))
    read = await ana.get(PREFERENCES)
    await resources.publisher.publish(Outgoing(first.topic, first.key, first.value, dict(first.headers)))
    await choose(ana, switch("topic", unique("later"), enabled=True))  # read after it, by the same group and key
    assert read.json()["data"]["choices"][0]["enabled"] is True
    category = next(each for each in (await ana.get(PREFERENCES)).json()["data"]["choices"] if each["level"] == "category")
    assert category["enabled"] is True


async def test_a_command_somebody_else_wrote_goes_to_quarantine(
    resources: Resources, settings: Settings, unique: Unique
) -> None:
    person = unique("victim")
    change = Change(settings=(Setting(level="category", name="orders", enabled=False),))
    command = PreferenceCommand(environment="dev", person=person, change_id="c-1", change=change, at=datetime.now(UTC))
    value = command.model_dump_json(exclude_unset=True).encode()
    await resources.publisher.publish(Outgoing(topics.preferences("dev"), person, value))

    async def quarantined() -> bool:
        records = await records_of(settings, topics.quarantine("dev"))
        return any(record.value == value for record in records)

    await eventually(quarantined)
    assert (await resources.stores.preferences.get("dev", person)).version == 0


async def test_explain_says_why_for_a_past_one_and_for_one_that_might_come(
    resources: Resources, ana: httpx2.AsyncClient, ben: httpx2.AsyncClient, unique: Unique
) -> None:
    await choose(ana, switch("category", "offers", enabled=False))
    notification = await send(resources, unique("offer"), to="ana", category="offers")
    await in_state(resources, notification, "SKIPPED")
    answer = await ana.get(f"{PREFERENCES}/explain", params={"notification_id": notification})
    [delivery] = answer.json()["data"]["deliveries"]
    assert (delivery["state"], delivery["reason"], delivery["decided_by"]) == ("SKIPPED", "preference:category", "plan")
    assert delivery["planned_with_version"] == delivery["now"]["preferences_version"]
    assert [rule["rule"] for rule in delivery["now"]["rules"] if rule["decided"]] == ["category"]
    assert (await ben.get(f"{PREFERENCES}/explain", params={"notification_id": notification})).status_code == 404

    asked = {"channel": "email", "category": "offers", "type": "order.shipped"}
    might = (await ana.get(f"{PREFERENCES}/explain", params=asked)).json()["data"]
    assert (might["decision"], might["reason"]) == ("skip", "preference:category")
    assert (await ana.get(f"{PREFERENCES}/explain")).status_code == 422


async def test_the_older_services_calls(resources: Resources, ana: httpx2.AsyncClient, unique: Unique) -> None:
    made = await ana.post(OLD, json={"notification_type": "order.shipped", "channel": "database", "enabled": False})
    assert made.status_code == 201, made.text
    preference = made.json()["data"]
    assert (preference["notification_type"], preference["channel"], preference["enabled"]) == (
        "order.shipped",
        "in_app",
        False,
    )
    assert (await ana.get(OLD)).json()["data"] == [preference]

    request: dict[str, Any] = {
        "to": "ana",
        "type": "order.shipped",
        "message": None,
        "variables": {"order": "42"},
        "channels": ["in_app"],
    }
    skipped = await in_state(resources, await send(resources, unique("order"), **request), "SKIPPED")
    assert skipped.reason == "preference:type"

    changed = await ana.put(f"{OLD}/{preference['id']}", json=preference | {"enabled": True})
    assert (changed.status_code, changed.json()["data"]["enabled"]) == (200, True)
    assert (await ana.delete(f"{OLD}/{preference['id']}")).status_code == 200
    assert (await ana.get(OLD)).json()["data"] == []
    assert (await ana.delete(f"{OLD}/{preference['id']}")).status_code == 404
    assert (await ana.put(f"{OLD}/prf_bm9uZQ", json={"enabled": True})).status_code == 404


async def a_mail_to(
    resources: Resources, sandbox: httpx2.AsyncClient, request_id: str, person: str, category: str
) -> tuple[Delivery, dict[str, str]]:
    notification = await send(resources, request_id, to=person, channels=["email"], category=category)
    row = await in_state(resources, notification, "SENT")
    [call] = await calls(sandbox, row)
    headers: dict[str, str] = call["request"]["headers"]
    return row, headers


async def test_one_click_in_a_real_mail_holds_before_the_next(
    resources: Resources, sandbox: httpx2.AsyncClient, api: str, unique: Unique
) -> None:
    person = await a_person_with_mail(resources, unique("carla"))
    _, headers = await a_mail_to(resources, sandbox, unique("offer"), person, "offers")
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    found = re.fullmatch(r"<(http://localhost:\d+/unsubscribe/\S+)>", headers["List-Unsubscribe"])
    assert found, headers

    async with httpx2.AsyncClient() as mailbox:
        page = await mailbox.get(found[1])
        assert (page.status_code, page.headers["Referrer-Policy"]) == (200, "no-referrer")
        assert "form-action 'self'" in page.headers["Content-Security-Policy"]
        assert (await resources.stores.preferences.get("dev", person)).version == 0, "looking changes nothing"
        for _ in range(2):
            clicked = await mailbox.post(found[1], data={"List-Unsubscribe": "One-Click"})
            assert clicked.status_code == 200, clicked.text
        assert (await mailbox.post(found[1][:-1] + "x")).status_code == 404
    assert (await resources.stores.preferences.get("dev", person)).version == 1, "clicked twice, changed once"

    skipped = await send(resources, unique("offer"), to=person, channels=["email"], category="offers")
    assert (await in_state(resources, skipped, "SKIPPED")).reason == "preference:category"
    await a_mail_to(resources, sandbox, unique("order"), person, "orders")


async def test_mandatory_mail_and_mail_to_a_bare_address_have_nothing_to_unsubscribe_from(
    resources: Resources, sandbox: httpx2.AsyncClient, unique: Unique
) -> None:
    person = await a_person_with_mail(resources, unique("dora"))
    _, headers = await a_mail_to(resources, sandbox, unique("code"), person, "security")
    assert "List-Unsubscribe" not in headers
    row = await in_state(resources, await send(resources, unique("m"), to={"email": "eve@example.com"}), "SENT")
    [call] = await calls(sandbox, row)
    assert "List-Unsubscribe" not in call["request"]["headers"]


async def test_a_status_event_says_the_skip_too(
    resources: Resources, settings: Settings, ana: httpx2.AsyncClient, unique: Unique
) -> None:
    await choose(ana, switch("global", "", enabled=False, channel="in_app"))
    notification = await send(resources, unique("m"), to="ana")
    await in_state(resources, notification, "SKIPPED")
    events = [document(each) for each in await records_of(settings, topics.status("dev"))]
    [skip] = [each for each in events if each["notification_id"] == notification and each["event"] == "skipped"]
    assert skip["reason"] == "preference:global"
