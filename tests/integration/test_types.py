# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""Types and templates over the API on the real stack: saved, sent with, changed, replayed, in somebody's language."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from schemas import topics
from schemas.ids import notification_id
from schemas.live import InboxItem
from tests.eventually import eventually
from tests.kafka_log import document, records_of

TYPES, TEMPLATES, SEND = "/api/v1/types", "/api/v1/templates", "/api/v1/notifications"
WELCOME: dict[str, Any] = {
    "title": "Hello {{ name }}",
    "body": "first words",
    "locales": {"fr": {"title": "Bonjour {{ name }}", "body": "premiers mots"}},
}
SCHEMA: dict[str, Any] = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
Unique = Callable[[str], str]


@pytest.fixture(autouse=True)
async def _somebody_works(workers: Child) -> None:
    """Every test needs them."""


@pytest.fixture
async def signup(olga: httpx2.AsyncClient, unique: Unique) -> AsyncIterator[tuple[str, str]]:
    """A type and its template that nobody had heard of a moment ago."""
    template, kind = unique("welcome"), unique("signup")
    await save(olga, f"{TEMPLATES}/{template}", WELCOME)
    await save(olga, f"{TYPES}/{kind}", {"template": template, "channels": ["in_app"], "variables_schema": SCHEMA})
    yield kind, template
    for path in (f"{TYPES}/{kind}", f"{TEMPLATES}/{template}"):
        (await olga.delete(path)).raise_for_status()


async def save(olga: httpx2.AsyncClient, path: str, body: dict[str, Any], if_match: str | None = None) -> None:
    answer = await olga.put(path, json=body, headers={"If-Match": if_match} if if_match else {})
    assert answer.status_code == 200, answer.text


async def send(resources: Resources, request_id: str, **said: Any) -> str:
    """A raw event, judged by route alone."""
    body = {"request_id": request_id, **said}
    await resources.publisher.publish(Outgoing(topics.requests("dev"), request_id, json.dumps(body).encode()))
    return notification_id("dev", "kafka", request_id)


async def item_of(resources: Resources, person: str, notification: str) -> InboxItem:
    async def look() -> list[InboxItem]:
        found = await resources.stores.inbox.newest("dev", person, before=None, limit=100)
        return [item for item in found if item.notification_id == notification]

    [item] = await eventually(look, within_s=30)
    return item


async def receipts(resources: Resources, request_id: str, verdict: str) -> dict[str, Any]:
    async def look() -> list[dict[str, Any]]:
        found = [document(record) for record in await records_of(resources.settings, "notifications.dev.receipts")]
        return [each for each in found if each["request_id"] == request_id and each["verdict"] == verdict]

    first: dict[str, Any] = (await eventually(look, within_s=30))[0]
    return first


async def test_what_was_saved_just_now_is_sent_by_and_what_was_accepted_keeps_its_words(
    resources: Resources, olga: httpx2.AsyncClient, signup: tuple[str, str], unique: Unique
) -> None:
    """Two notifications and, in between, another version; then the first record once more."""
    kind, template = signup
    said: dict[str, Any] = {"type": kind, "variables": {"name": "Zoe"}}
    first_id, person, other = unique("first"), unique("zoe"), unique("yan")
    first = await send(resources, first_id, to=person, **said)
    item = await item_of(resources, person, first)
    assert (item.title, item.message) == ("Hello Zoe", "first words")
    stored = await resources.stores.notifications.get("dev", first)
    assert stored is not None
    assert (stored.plan.type, stored.plan.template) == (f"{kind}@1", f"{template}@1")

    await save(olga, f"{TEMPLATES}/{template}", WELCOME | {"body": "other words"}, '"1"')

    async def said_anew() -> bool:
        sent = await send(resources, unique("later"), to=other, **said)
        return (await item_of(resources, other, sent)).message == "other words"

    assert await eventually(said_anew, within_s=40), "within the refresh interval, in every process"
    assert await send(resources, first_id, to=person, **said) == first
    await receipts(resources, first_id, "duplicate")
    again = await resources.stores.notifications.get("dev", first)
    assert again is not None
    assert again.plan == stored.plan
    assert (await item_of(resources, person, first)).message == "first words"


async def test_a_pinned_version_is_said_although_a_newer_one_counts(
    resources: Resources, olga: httpx2.AsyncClient, signup: tuple[str, str], unique: Unique
) -> None:
    _, template = signup
    await save(olga, f"{TEMPLATES}/{template}", WELCOME | {"body": "other words"}, "*")
    person = unique("zoe")
    for version, words in ((2, "other words"), (1, "first words")):
        sent = await send(
            resources, unique("pinned"), to=person, template=f"{template}@{version}", variables={"name": "Zoe"}
        )
        assert (await item_of(resources, person, sent)).message == words


async def test_a_person_is_written_to_in_their_language(
    resources: Resources, olga: httpx2.AsyncClient, signup: tuple[str, str], unique: Unique
) -> None:
    person = unique("zoe")
    (await olga.patch(f"/api/v1/people/{person}", json={"locale": "fr-ca"})).raise_for_status()
    assert (await olga.get(f"/api/v1/people/{person}")).json()["data"]["locale"] == "fr-CA"
    sent = await send(resources, unique("french"), to=person, type=signup[0], variables={"name": "Zoe"})
    item = await item_of(resources, person, sent)
    assert (item.title, item.message) == ("Bonjour Zoe", "premiers mots")


async def test_variables_that_do_not_fit_are_refused_at_every_door(
    resources: Resources, ana: httpx2.AsyncClient, signup: tuple[str, str], unique: Unique
) -> None:
    refused = await ana.post(SEND, json={"type": signup[0], "to": "ana", "variables": {"name": 7}})
    assert (refused.status_code, refused.json()["error"]["errors"][0]["pointer"]) == (422, "/variables/name")
    request_id = unique("raw")
    await send(resources, request_id, to="ana", type=signup[0], variables={})
    receipt = await receipts(resources, request_id, "rejected")
    assert receipt["errors"] == [{"pointer": "/variables/name", "detail": "is missing"}]


async def test_a_broken_template_is_refused_with_its_line_and_nothing_is_saved(
    olga: httpx2.AsyncClient, unique: Unique
) -> None:
    name = unique("broken")
    refused = await olga.put(f"{TEMPLATES}/{name}", json={"body": "one\ntwo {{ three"})
    [error] = refused.json()["error"]["errors"]
    assert (refused.status_code, error["pointer"], error["detail"][:7]) == (422, "/body", "line 2:")
    assert (await olga.get(f"{TEMPLATES}/{name}")).status_code == 404
    previewed = await olga.post(f"{TEMPLATES}/preview", json={"template": {"body": "one\n{{ three }}"}})
    assert (previewed.status_code, previewed.json()["message"]) == (422, "body, line 2: 'three' is undefined")


async def test_a_preview_is_what_will_be_sent(olga: httpx2.AsyncClient, signup: tuple[str, str]) -> None:
    asked = {"variables": {"name": "Zoe"}, "locale": "fr"}
    seen = await olga.post(f"{TEMPLATES}/{signup[1]}/preview", json=asked)
    assert seen.json()["data"]["title"] == "Bonjour Zoe"


async def test_a_retired_type_is_unknown_to_what_is_new(
    resources: Resources, olga: httpx2.AsyncClient, ana: httpx2.AsyncClient, signup: tuple[str, str], unique: Unique
) -> None:
    assert (await olga.delete(f"{TEMPLATES}/{signup[1]}")).json()["error"]["type"] == "needed"
    (await olga.delete(f"{TYPES}/{signup[0]}")).raise_for_status()
    refused = await ana.post(SEND, json={"type": signup[0], "to": "ana", "variables": {"name": "Ana"}})
    assert (refused.status_code, refused.json()["error"]["errors"][0]["pointer"]) == (422, "/type")
