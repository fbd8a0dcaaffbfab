"""Types and templates on their way through the workers: what is refused, what is pinned, in which language it is said."""

from typing import Any

import pytest

from schemas.outcomes import Unavailable
from schemas.templates import LocalTexts, Template, Texts
from schemas.types import NotificationType
from schemas.versions import next_version
from tests.unit.stories import Floor, a_request, now

SCHEMA: dict[str, Any] = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
WELCOME = Template(
    name="welcome",
    title="Hello {{ name }}",
    body="Hello",
    channels={"email": Texts(body="A long hello")},
    locales={"fr": LocalTexts(title="Bonjour {{ name }}", body="Salut")},
)
SIGNUP: dict[str, Any] = {"type": "signup", "message": None, "variables": {"name": "Ana"}}


async def a_floor(template: Template = WELCOME) -> Floor:
    floor = Floor()
    kind = NotificationType(name="signup", template="welcome", channels=("in_app", "email"), variables_schema=SCHEMA)
    assert await floor.types.save("dev", next_version("signup", 0, kind, "olga", now()))
    assert await floor.templates.save("dev", next_version("welcome", 0, template, "olga", now()))
    await floor.knows("ana", "ana@x.io")
    return floor


async def delivered(floor: Floor) -> str:
    """The title in Ana's inbox."""
    for record in floor.handed_out("in-app"):
        await floor.in_app.handle(record)
    [item] = await floor.inbox.newest("dev", "ana", before=None, limit=10)
    return item.title


async def test_a_notification_keeps_the_versions_it_was_routed_with() -> None:
    floor = await a_floor()
    await floor.route.handle(a_request(SIGNUP))
    changed = WELCOME.model_copy(update={"title": "Changed"})
    assert await floor.templates.save("dev", next_version("welcome", 1, changed, "olga", now()))
    assert await floor.templates.save("dev", next_version("welcome", 2, None, "olga", now())), "and it was retired"
    await floor.route.handle(a_request(SIGNUP))
    assert (floor.notification.plan.type, floor.notification.plan.template) == ("signup@1", "welcome@1")
    assert await delivered(floor) == "Hello Ana"


async def test_variables_that_do_not_fit_are_refused_and_the_receipt_names_the_field() -> None:
    floor = await a_floor()
    await floor.route.handle(a_request(SIGNUP | {"variables": {"name": 7}}))
    [receipt] = floor.receipts()
    assert (receipt["verdict"], [each["pointer"] for each in receipt["errors"]]) == ("rejected", ["/variables/name"])
    [(_, reason)] = floor.quarantined()
    assert reason == "bad_variables"
    assert "7" not in receipt["errors"][0]["detail"]


async def test_every_field_that_does_not_fit_is_named() -> None:
    floor = await a_floor()
    more = SCHEMA | {"required": ["name", "order"]}
    kind = NotificationType(name="signup", template="welcome", variables_schema=more)
    assert await floor.types.save("dev", next_version("signup", 1, kind, "olga", now()))
    await floor.route.handle(a_request(SIGNUP | {"variables": {"name": None}}))
    [receipt] = floor.receipts()
    assert sorted(each["pointer"] for each in receipt["errors"]) == ["/variables/name", "/variables/order"]


async def test_a_message_of_ones_own_needs_no_variables() -> None:
    floor = await a_floor()
    await floor.route.handle(a_request({"type": "signup", "message": "Hi", "channels": ["in_app"]}))
    assert [receipt["verdict"] for receipt in floor.receipts()] == ["accepted"]


async def test_a_table_that_is_out_holds_the_record_and_refuses_nothing() -> None:
    floor = await a_floor()
    floor.outage.away = {"types.read"}
    with pytest.raises(Unavailable):
        await floor.route.handle(a_request(SIGNUP))
    assert (floor.quarantined(), floor.receipts()) == ([], [])
    floor.outage.away = set()
    await floor.route.handle(a_request(SIGNUP))
    floor.outage.away = {"templates.read"}
    [record] = floor.handed_out("in-app")
    with pytest.raises(Unavailable):
        await floor.in_app.handle(record)
    floor.outage.away = set()
    assert await delivered(floor) == "Hello Ana"


@pytest.mark.parametrize(
    ("locale", "title"), [("fr-CA", "Bonjour Ana"), ("fr", "Bonjour Ana"), ("de", "Hello Ana"), (None, "Hello Ana")]
)
async def test_a_person_is_written_to_in_their_language(locale: str | None, title: str) -> None:
    floor = await a_floor()
    await floor.contacts.change("dev", "ana", {"locale": locale})
    await floor.route.handle(a_request(SIGNUP))
    assert await delivered(floor) == title


async def test_a_channel_may_have_its_own_words() -> None:
    floor = await a_floor()
    await floor.route.handle(a_request(SIGNUP | {"channels": ["email"]}))
    [record] = floor.handed_out("email")
    await floor.external().handle(record)
    assert [content.body for _, _, content in floor.channel.sent] == ["A long hello"]


async def test_a_bare_address_has_no_language_and_a_template_without_locales_asks_for_none() -> None:
    floor = await a_floor()
    await floor.route.handle(a_request(SIGNUP | {"to": {"email": "c@x.io"}}))
    floor.outage.away = {"contacts.get"}
    [record] = floor.handed_out("email")
    await floor.external().handle(record)
    assert [content.title for _, _, content in floor.channel.sent] == ["Hello Ana"]
    plain = await a_floor(WELCOME.model_copy(update={"locales": {}}))
    await plain.route.handle(a_request(SIGNUP | {"channels": ["in_app"]}))
    plain.outage.away = {"contacts.get"}
    assert await delivered(plain) == "Hello Ana"
