"""A person with every kind of thing is handed everything, and afterwards nothing of theirs is left: on the real stack."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from infrastructure.auth.box import EncryptedBox
from infrastructure.auth.sessions import Session, SessionStore
from infrastructure.auth.user import User
from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from schemas.deliveries import Delivery
from schemas.devices import FcmDevice, device_of
from schemas.ids import new_request_id
from schemas.preference_changes import Change, PreferenceCommand, Setting
from schemas.quiet_hours import QuietHours
from tests.command import carillon
from tests.eventually import eventually
from tests.everything import Place, everything, mentions
from tests.integration.conftest import Fault, TokenOf
from tests.integration.test_email_and_slack import calls, in_state, send
from tests.integration.test_live import frame, socket_of, until
from tests.integration.test_preferences import Unique, a_person_with_mail
from tests.tokens import log_in

PEOPLE = "/api/v1/people"


@pytest.fixture(autouse=True)
async def _somebody_works(workers: Child) -> None:
    """Every test needs them."""


@dataclass(frozen=True)
class Somebody:
    """A person with every kind of thing; `secret` is in everything that was said to them alone."""

    name: str
    secret: str
    other: str
    shared: str
    cookie: str
    held: str
    failed: str
    open_window: str
    for_later: str
    for_both_later: str

    @property
    def address(self) -> str:
        return f"{self.name}@example.com"


async def an_erased(olga: httpx2.AsyncClient, person: str) -> dict[str, Any]:
    """Erased by an operator, and swept once."""
    answer = await olga.delete(f"{PEOPLE}/{person}")
    assert answer.status_code in (200, 202), answer.text
    assert answer.headers["Location"] == f"{PEOPLE}/{person}/erasure?environment=dev"

    async def swept() -> dict[str, Any] | None:
        found: dict[str, Any] | None = (await olga.get(answer.headers["Location"])).json()["data"]
        return found if found and found["complete"] else None

    return await eventually(swept, within_s=40)


async def a_session(resources: Resources, person: str) -> str:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    user = User(id=person, sub=person, issuer="x", email=f"{person}@example.com", expires_at=in_an_hour)
    session = Session(user=user, access_token="t", access_expires_at=in_an_hour.timestamp(), renew_at=in_an_hour.timestamp())
    return await sessions_of(resources).create(session)


def sessions_of(resources: Resources) -> SessionStore:
    box = EncryptedBox(resources.settings.app_secret_key.get_secret_value())
    return SessionStore(resources.redis, box, 3600)


async def choices_of(resources: Resources, person: str) -> None:
    """Quiet hours that hold their mail, and no offers."""
    now = datetime.now(UTC)
    change = Change(
        settings=(Setting(level="category", name="offers", enabled=False),),
        quiet_hours=QuietHours(
            start=f"{now - timedelta(minutes=5):%H:%M}", end=f"{now + timedelta(hours=3):%H:%M}", zone="UTC"
        ),
    )
    command = PreferenceCommand(environment="dev", person=person, change_id=new_request_id(), change=change, at=now)
    assert (await resources.stores.preferences.apply(command)).result == "applied"


async def somebody(resources: Resources, unique: Unique, fault: Fault) -> Somebody:
    """Everything has happened that is going to happen to them by itself."""
    name, other, secret = unique("forgetme"), unique("keepme"), unique("secret")
    await asyncio.gather(*(a_person_with_mail(resources, each) for each in (name, other)))
    topic = unique("topic")
    await asyncio.gather(*(resources.stores.contacts.subscribe("dev", each, (topic,)) for each in (name, other)))
    said: dict[str, Any] = {"message": {"title": secret, "body": secret, "data": {"n": secret}}, "metadata": {"m": secret}}
    await fault("email", mode="error", status=550, times=1)
    failed = await send(resources, unique("r"), to=name, channels=["email"], **said)
    await in_state(resources, failed, "FAILED")
    await choices_of(resources, name)
    token = unique("token")
    await resources.stores.devices.register("dev", name, device_of(FcmDevice(kind="fcm", token=token), datetime.now(UTC)))
    plain = await send(resources, unique("r"), to=name, channels=["in_app"], collapse_key="k", **said)
    template = await send(
        resources, unique("r"), message=None, to=name, type="account.nudge", variables={"title": secret, "text": secret}
    )
    held = await send(resources, unique("r"), to={"user": name, "email": f"{name}@example.com"}, channels=["email"], **said)
    shared = await send(resources, unique("r"), to=[name, other], channels=["in_app"], message=unique("shared"))
    audience = await send(resources, unique("r"), to={"topic": topic}, channels=["in_app"], message=unique("news"))
    fallback = await send(
        resources,
        unique("r"),
        to=name,
        channels=["in_app"],
        fallback=[{"after": "2h", "unless": "read", "channels": ["email"]}],
        **said,
    )
    gathered = await send(resources, unique("r"), to=name, channels=["in_app"], digest={"window": "1h"}, **said)
    closed = await send(resources, unique("r"), to=name, channels=["in_app"], digest={"window": "1s", "key": "k"}, **said)
    skipped = await send(resources, unique("r"), to=name, channels=["in_app"], category="offers", **said)
    in_a_day = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    later = await send(resources, unique("r"), to=name, send_at=in_a_day, **said)
    both = await send(resources, unique("r"), to=[name, other], send_at=in_a_day, message=unique("both"))
    for each in (plain, template, shared, fallback):
        await in_state(resources, each, "SENT")
    await eventually(lambda: reaches_both(resources, audience))
    await in_state(resources, held, "RETRY")
    await in_state(resources, skipped, "SKIPPED")
    window = (await in_state(resources, gathered, "DIGESTED")).reason
    sent = (await in_state(resources, closed, "DIGESTED")).reason
    assert window is not None
    assert sent is not None
    await in_state(resources, sent.removeprefix("digest:"), "SENT")
    for each in (later, both):
        await eventually(lambda each=each: resources.stores.notifications.unplanned("dev", each))  # type: ignore[misc]
    return Somebody(
        name=name,
        secret=secret,
        other=other,
        shared=shared,
        cookie=await a_session(resources, name),
        held=held,
        failed=failed,
        open_window=window.removeprefix("digest:"),
        for_later=later,
        for_both_later=both,
    )


async def reaches_both(resources: Resources, audience: str) -> bool:
    found = await resources.stores.notifications.get("dev", audience)
    rows = await resources.stores.deliveries.of("dev", audience, found.plan.shards) if found else []
    return [row.state for row in rows] == ["SENT", "SENT"]


async def looked_through(resources: Resources, variables: Mapping[str, str]) -> list[Place]:
    return await everything(variables, "dev", resources.redis)


async def exported(olga: httpx2.AsyncClient, person: str) -> dict[str, Any]:
    answer = await olga.get(f"{PEOPLE}/{person}/export")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()["data"]
    assert found["complete"] is True
    return found


async def test_everything_is_exported_and_nothing_is_left_after_an_erasure(
    resources: Resources, olga: httpx2.AsyncClient, variables: Mapping[str, str], unique: Unique, fault: Fault
) -> None:
    one = await somebody(resources, unique, fault)
    words = one.name, one.address, one.secret
    before = await looked_through(resources, variables)
    tables = {where.removeprefix("dev-") for where, text in before if one.name in text}
    assert tables >= {
        "notifications",
        "deliveries",
        "inbox",
        "timers",
        "contacts",
        "devices",
        "subscriptions",
        "schedules",
        "caps",
        "preferences",
        "digests",
    }, "the search finds what there is to be found"
    handed_over = await exported(olga, one.name)
    a_complete_export(one, handed_over)
    found = await an_erased(olga, one.name)
    assert found["erased"]["contact"] == found["erased"]["devices"] == 1
    assert found["erased"]["sessions"] == 1
    assert found["erased"]["schedules"] == 2
    assert mentions(await looked_through(resources, variables), *words) == []
    assert await sessions_of(resources).read(one.cookie) is None
    await what_became_of_it_can_be_looked_up(resources, one)
    await others_are_untouched(resources, olga, one)
    empty = await exported(olga, one.name)
    assert not any(
        empty[name] for name in ("contact", "devices", "inbox", "notifications", "scheduled", "caps", "subscriptions")
    )


def a_complete_export(one: Somebody, found: dict[str, Any]) -> None:
    assert found["contact"]["email"] == one.address
    assert [device["kind"] for device in found["devices"]] == ["fcm"]
    assert "token" not in found["devices"][0]
    assert found["preferences"]["choices"][0]["name"] == "offers"
    assert [change["result"] for change in found["preference_changes"]] == ["applied"]
    assert len(found["subscriptions"]) == 2
    assert {item["title"] for item in found["inbox"]} >= {one.secret}
    assert {"SENT", "RETRY", "DIGESTED", "SKIPPED", "FAILED"} <= {
        delivery["state"] for each in found["notifications"] for delivery in each["deliveries"]
    }
    by_id = {each["notification_id"]: each for each in found["notifications"]}
    assert by_id[one.held]["content"]["body"] == one.secret
    assert by_id[one.held]["metadata"] == {"m": one.secret}
    assert by_id[one.held]["deliveries"][0]["address"] == one.address
    assert len(by_id[one.shared]["deliveries"]) == 1
    assert "variables" not in by_id[one.shared]
    assert {each["notification_id"] for each in found["scheduled"]} == {one.for_later, one.for_both_later}
    assert found["caps"]
    assert one.other not in json.dumps(found), "nobody else is in it"


async def what_became_of_it_can_be_looked_up(resources: Resources, one: Somebody) -> None:
    held = await in_state(resources, one.held, "SKIPPED")
    assert (held.reason, held.next_at) == ("erased", None)
    assert held.recipient.startswith("erased_")
    await in_state(resources, one.failed, "FAILED")
    note = await resources.stores.notifications.unplanned("dev", one.for_later)
    assert note is not None
    assert (note.status, note.reason) == ("REJECTED", "erased")
    assert await resources.stores.digests.find("dev", one.open_window) is None


async def others_are_untouched(resources: Resources, olga: httpx2.AsyncClient, one: Somebody) -> None:
    theirs = await exported(olga, one.other)
    assert theirs["contact"]["email"] == f"{one.other}@example.com"
    assert len(theirs["subscriptions"]) == 2
    assert one.shared in {each["notification_id"] for each in theirs["notifications"]}
    assert len(theirs["inbox"]) == 2
    [scheduled] = theirs["scheduled"]
    assert scheduled["notification_id"] == one.for_both_later
    assert scheduled["message"]["body"].startswith("both-")


async def test_what_was_accepted_before_never_goes_out_and_what_comes_later_does(
    resources: Resources, olga: httpx2.AsyncClient, sandbox: httpx2.AsyncClient, fault: Fault, unique: Unique
) -> None:
    """A mail that is retried is overtaken by the erasure; the person comes back, and is somebody new."""
    person = await a_person_with_mail(resources, unique("comeback"))
    await fault("email", mode="error", status=451, times=2)
    before = await send(resources, unique("r"), to=person, channels=["email"])
    await in_state(resources, before, "RETRY")
    await an_erased(olga, person)
    ended = await in_state(resources, before, "SKIPPED")
    assert ended.reason == "erased"
    seen = await calls(sandbox, ended)
    assert not any(call["accepted"] for call in seen)
    await a_person_with_mail(resources, person)
    after = await send(resources, unique("r"), to=person, channels=["email", "in_app"], message="Welcome back")

    async def both() -> list[Delivery] | None:
        rows = await resources.stores.deliveries.of("dev", after)
        return rows if [row.state for row in rows] == ["SENT", "SENT"] else None

    rows = await eventually(both)
    assert {row.recipient for row in rows} == {person}
    await eventually(lambda: in_the_inbox(resources, person))


async def in_the_inbox(resources: Resources, person: str) -> bool:
    return len(await resources.stores.inbox.newest("dev", person, before=None, limit=5)) == 1


async def test_of_many_at_once_each_is_erased_once(resources: Resources, olga: httpx2.AsyncClient, unique: Unique) -> None:
    person = await a_person_with_mail(resources, unique("often"))
    answers = await asyncio.gather(*(olga.delete(f"{PEOPLE}/{person}") for _ in range(5)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    found = await an_erased(olga, person)
    assert found["status"] == "DONE"
    assert await resources.stores.contacts.get("dev", person) is None


async def test_who_erases_themselves_is_logged_out_and_their_devices_show_nothing_any_more(
    api: str, variables: Mapping[str, str], bearer_of: TokenOf, unique: Unique
) -> None:
    headers = await bearer_of("user123")
    async with (
        httpx2.AsyncClient(base_url=api, headers=headers, timeout=30) as program,
        httpx2.AsyncClient(base_url=api, timeout=30, headers={"Origin": api}) as browser,
        socket_of(api, "?cursor=", additional_headers=headers) as phone,
    ):
        await log_in(browser, variables, "user123")
        body = {"to": "user123", "message": {"body": unique("mine")}}
        await program.post("/api/v1/notifications", json=body, headers={"Prefer": "wait=5"})
        await until(phone, body["message"]["body"])  # type: ignore[index]
        assert (await browser.delete(f"{PEOPLE}/me")).status_code in (200, 202)
        told = await frame(phone)
        assert (told["type"], told["snapshot"]) == ("gap", {"unread": 0, "items": []})
        assert (await browser.get("/api/v1/auth/me")).status_code == 401
        mine = await exported(program, "me")
        assert (mine["contact"], mine["inbox"]) == (None, [])


async def test_an_operators_terminal_exports_and_erases(
    resources: Resources, variables: Mapping[str, str], unique: Unique
) -> None:
    person = await a_person_with_mail(resources, unique("terminal"))
    shown = await carillon(variables, "people", "export", person)
    assert (shown.code, shown.document["contact"]["email"]) == (0, f"{person}@example.com")
    asked = await carillon(variables, "people", "erase", person)
    assert asked.code == 1
    assert "--yes" in asked.errors
    assert await resources.stores.contacts.get("dev", person) is not None
    done = await carillon(variables, "people", "erase", person, "--yes")
    assert (done.code, done.document["status"], done.document["erased"]["contact"]) == (0, "DONE", 1)
    assert await resources.stores.contacts.get("dev", person) is None


async def test_nobody_else_may_have_somebody_erased_or_exported(ana: httpx2.AsyncClient, ben: httpx2.AsyncClient) -> None:
    for client, whose in ((ana, "ben"), (ben, "ana")):
        assert (await client.delete(f"{PEOPLE}/{whose}")).status_code == 403
        assert (await client.get(f"{PEOPLE}/{whose}/export")).status_code == 403
        assert (await client.get(f"{PEOPLE}/{whose}/erasure")).status_code == 403
    mine = await exported(ana, "me")
    assert mine["person"] == "ana"
