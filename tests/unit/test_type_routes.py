"""Types and templates over HTTP: versions, who was first, what is refused and where, previews."""

from typing import Any

import httpx2
import pytest

from infrastructure.kafka.entrance import Entrance
from tests.fakes.house import House
from tests.fakes.publisher import FakePublisher
from tests.unit.stories import KEY

TYPES, TEMPLATES = "/api/v1/types", "/api/v1/templates"
WELCOME = {"title": "Hello {{ name }}", "body": "Good to have you here, {{ name }}."}
SIGNUP: dict[str, Any] = {
    "category": "account",
    "template": "welcome",
    "channels": ["in_app"],
    "variables_schema": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
}


def told(answer: httpx2.Response) -> tuple[int, list[str]]:
    """The status, and where the mistakes are."""
    return answer.status_code, [error["pointer"] for error in answer.json()["error"]["errors"]]


async def saved(olga: httpx2.AsyncClient, path: str, body: dict[str, Any], if_match: str | None = None) -> str:
    answer = await olga.put(path, json=body, headers={"If-Match": if_match} if if_match else {})
    assert answer.status_code == 200, answer.text
    return answer.headers["etag"]


async def test_a_name_gets_versions_and_each_stays_as_it_was(olga: httpx2.AsyncClient) -> None:
    made = await olga.post(TEMPLATES, json=WELCOME | {"name": "welcome"})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    assert await saved(olga, f"{TEMPLATES}/welcome", WELCOME | {"body": "Hi"}, '"1"') == '"2"'
    newest = await olga.get(f"{TEMPLATES}/welcome")
    assert (newest.headers["etag"], newest.json()["data"]["body"]) == ('"2"', "Hi")
    assert newest.json()["meta"]["saved_by"] == "olga"
    first = await olga.get(f"{TEMPLATES}/welcome", params={"version": 1})
    assert (first.json()["data"]["body"], first.json()["meta"]["newest"]) == (WELCOME["body"], 2)
    listed = (await olga.get(f"{TEMPLATES}/welcome/versions")).json()["data"]
    assert [each["version"] for each in listed] == [2, 1]
    assert (await olga.get(f"{TEMPLATES}/welcome", params={"version": 3})).status_code == 404


async def test_what_get_gives_put_takes_back(olga: httpx2.AsyncClient) -> None:
    await saved(
        olga,
        f"{TEMPLATES}/welcome",
        WELCOME | {"locales": {"fr": {"title": "Bonjour"}}, "channels": {"slack": {"body": "hi"}}},
    )
    terms = SIGNUP | {
        "expires_after": "10m",
        "digest": {"window": "15m"},
        "fallback": [{"after": "5m", "channels": ["email"]}],
    }
    await saved(olga, f"{TYPES}/signup", terms)
    for path in (f"{TEMPLATES}/welcome", f"{TYPES}/signup"):
        first = await olga.get(path)
        await saved(olga, path, first.json()["data"], first.headers["etag"])
        assert (await olga.get(path)).json()["data"] == first.json()["data"]


async def test_who_has_not_seen_the_newest_version_writes_nothing(olga: httpx2.AsyncClient) -> None:
    path = f"{TEMPLATES}/welcome"
    assert (await olga.put(path, json=WELCOME, headers={"If-Match": '"1"'})).status_code == 412, "there is none"
    await saved(olga, path, WELCOME)
    unseen = await olga.put(path, json=WELCOME)
    assert (unseen.status_code, unseen.headers["etag"]) == (428, '"1"')
    assert (await olga.post(TEMPLATES, json=WELCOME | {"name": "welcome"})).status_code == 428
    await saved(olga, path, WELCOME, "*")
    late = await olga.put(path, json=WELCOME, headers={"If-Match": '"1"'})
    assert (late.status_code, late.headers["etag"], late.json()["error"]["type"]) == (412, '"2"', "version_mismatch")
    assert (await olga.delete(path, headers={"If-Match": '"1"'})).status_code == 412
    assert (await olga.put(path, json=WELCOME, headers={"If-Match": "W/1"})).status_code == 412


async def test_of_two_who_are_first_one_is_told_so(house: House, olga: httpx2.AsyncClient) -> None:
    await saved(olga, f"{TEMPLATES}/welcome", WELCOME)
    before = await house.floor.templates.head("dev", "welcome")

    async def as_it_was(environment: str, name: str) -> Any:
        return before

    await saved(olga, f"{TEMPLATES}/welcome", WELCOME, '"1"')
    house.floor.templates.head = as_it_was  # type: ignore[method-assign]
    late = await olga.put(f"{TEMPLATES}/welcome", json=WELCOME | {"body": "mine"}, headers={"If-Match": '"1"'})
    assert late.status_code == 412


async def test_what_came_with_the_deployment_is_changed_there(olga: httpx2.AsyncClient) -> None:
    for path, body in ((f"{TYPES}/order.shipped", {}), (f"{TEMPLATES}/order-shipped", WELCOME)):
        for refused in (await olga.put(path, json=body), await olga.delete(path)):
            assert (refused.status_code, refused.json()["error"]["type"]) == (409, "belongs_to_folder")
        shown = await olga.get(path)
        assert (shown.status_code, shown.json()["meta"]["source"]) == (200, "folder")
        assert (await olga.get(f"{path}/versions")).json()["data"] == [{"version": 1, "source": "folder", "retired": False}]


async def test_a_list_has_the_folders_names_and_the_saved_ones_page_by_page(olga: httpx2.AsyncClient) -> None:
    for name in ("aaa", "nnn", "zzz"):
        await saved(olga, f"{TYPES}/{name}", {"category": "orders"})
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = await olga.get(TYPES, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        found += answer.json()["data"]
        cursor = answer.json()["meta"]["next_cursor"]
        if cursor is None:
            break
    names = [each["name"] for each in found]
    assert names == sorted(set(names))
    assert {"aaa", "nnn", "zzz", "order.shipped", "alarm"} <= set(names)
    [aaa] = [each for each in found if each["name"] == "aaa"]
    assert aaa == {"name": "aaa", "version": 1, "source": "api", "retired": False, "category": "orders"}


@pytest.mark.parametrize(
    ("body", "pointers", "said"),
    [
        ({"body": "a\nb\n{{ oops"}, ["/body"], "line 3"),
        ({"body": "x", "title": "{% if %}"}, ["/title"], "line 1"),
        ({"body": "x", "html": "{{ x | nosuchfilter }}"}, ["/html"], "nosuchfilter"),
        ({"body": "x", "locales": {"fr": {"body": "{{ x"}}}, ["/locales/fr/body"], "line 1"),
        ({"body": "x", "channels": {"slack": {"title": "{% endfor %}"}}}, ["/channels/slack/title"], "endfor"),
        ({"body": "{% if a %}" * 3500, "html": "x" * 40_000}, ["/body"], "nested deeper"),
        ({"body": "x", "locales": {tag: {"body": "x" * 40_000} for tag in ("fr", "de", "es", "it")}}, [""], "characters"),
        ({"body": "{{ a", "title": "{{ b"}, ["/title", "/body"], "line 1"),
        ({"body": "{% for x in y recursive %}{{ loop(y) }}{% endfor %}"}, ["/body"], "recursive"),
    ],
)
async def test_a_broken_template_is_refused_with_part_line_and_reason(
    olga: httpx2.AsyncClient, body: dict[str, Any], pointers: list[str], said: str
) -> None:
    refused = await olga.put(f"{TEMPLATES}/broken", json=body)
    assert told(refused) == (422, pointers)
    assert said in refused.json()["error"]["errors"][0]["detail"]
    assert (await olga.get(f"{TEMPLATES}/broken")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"template": "gone"}, ["/template"]),
        ({"template": "welcome@7"}, ["/template"]),
        ({"digest": {"window": "15m", "template": "gone"}}, ["/digest/template"]),
        ({"channels": ["email"], "fallback": [{"after": "5m", "channels": ["in_app"]}]}, ["/fallback/0/unless"]),
        ({"variables_schema": {"properties": {"name": {"type": "text"}}}}, ["/variables_schema/properties/name/type"]),
        ({"variables_schema": {"$ref": "https://evil.example/s"}}, ["/variables_schema/$ref"]),
        ({"variables_schema": {"properties": {"nom": {}}}}, ["/template", "/template"]),
        ({"priority": "soon"}, ["/priority"]),
        ({"colour": "red"}, ["/colour"]),
        ({"name": "other"}, ["/name"]),
    ],
)
async def test_a_broken_type_is_refused_at_its_place(
    olga: httpx2.AsyncClient, changes: dict[str, Any], pointers: list[str]
) -> None:
    await saved(olga, f"{TEMPLATES}/welcome", WELCOME)
    assert told(await olga.put(f"{TYPES}/signup", json=SIGNUP | changes)) == (422, pointers)


async def test_a_template_may_not_use_what_its_types_do_not_declare(olga: httpx2.AsyncClient) -> None:
    await saved(olga, f"{TEMPLATES}/welcome", WELCOME)
    await saved(olga, f"{TYPES}/signup", SIGNUP)
    refused = await olga.put(f"{TEMPLATES}/welcome", json=WELCOME | {"body": "a\n{{ surname }}"}, headers={"If-Match": "*"})
    assert told(refused) == (422, ["/body"])
    assert "line 2: surname" in refused.json()["message"]
    assert "signup" in refused.json()["message"]


async def test_a_template_that_a_type_needs_stays_until_no_type_does(olga: httpx2.AsyncClient) -> None:
    await saved(olga, f"{TEMPLATES}/welcome", WELCOME)
    await saved(olga, f"{TYPES}/signup", SIGNUP)
    kept = await olga.delete(f"{TEMPLATES}/welcome")
    assert (kept.status_code, kept.json()["error"]["type"]) == (409, "needed")
    assert (await olga.delete(f"{TYPES}/signup")).status_code == 200
    assert (await olga.delete(f"{TEMPLATES}/welcome")).status_code == 200
    assert (await olga.delete(f"{TEMPLATES}/welcome")).status_code == 200, "once is enough"
    gone = await olga.get(f"{TEMPLATES}/welcome")
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "retired")
    assert (await olga.get(f"{TEMPLATES}/welcome", params={"version": 1})).status_code == 200
    assert await saved(olga, f"{TEMPLATES}/welcome", WELCOME) == '"3"', "it can be taken up again"
    assert (await olga.delete(f"{TEMPLATES}/never")).status_code == 404


async def test_what_was_saved_is_sent_by_at_once_and_what_was_accepted_keeps_its_version(
    house: House, olga: httpx2.AsyncClient, ana: httpx2.AsyncClient
) -> None:
    await saved(olga, f"{TEMPLATES}/welcome", WELCOME)
    await saved(olga, f"{TYPES}/signup", SIGNUP)
    sent = await ana.post("/api/v1/notifications", json={"type": "signup", "to": "ana", "variables": {"name": "Ana"}})
    assert sent.status_code == 202, sent.text
    [item] = (await ana.get("/api/v1/notifications/")).json()["data"]
    assert (item["title"], item["category"]) == ("Hello Ana", "account")
    assert (house.floor.notification.plan.type, house.floor.notification.plan.template) == ("signup@1", "welcome@1")


@pytest.mark.parametrize(
    ("variables", "pointer"), [({}, "/variables/name"), ({"name": 7}, "/variables/name")], ids=["missing", "wrong"]
)
async def test_variables_that_do_not_fit_are_refused_with_their_place(
    olga: httpx2.AsyncClient, ana: httpx2.AsyncClient, variables: dict[str, Any], pointer: str
) -> None:
    await saved(olga, f"{TEMPLATES}/welcome", WELCOME)
    await saved(olga, f"{TYPES}/signup", SIGNUP)
    refused = await ana.post("/api/v1/notifications", json={"type": "signup", "to": "ana", "variables": variables})
    assert told(refused) == (422, [pointer])


async def test_a_new_version_counts_at_once_where_it_was_saved(olga: httpx2.AsyncClient, ana: httpx2.AsyncClient) -> None:
    """No time passes here, so no cache is refreshed."""
    await saved(olga, f"{TEMPLATES}/welcome", {"body": "Hello"})
    await saved(olga, f"{TYPES}/signup", {"template": "welcome"})
    assert (await ana.post("/api/v1/notifications", json={"type": "signup", "to": "ana"})).status_code == 202
    await saved(olga, f"{TYPES}/signup", SIGNUP, '"1"')
    assert told(await ana.post("/api/v1/notifications", json={"type": "signup", "to": "ana"})) == (422, ["/variables/name"])


async def test_a_request_is_taken_while_nobody_can_tell_what_its_type_is(house: House, ana: httpx2.AsyncClient) -> None:
    """Route will know; that the table is out is no reason to lose an event."""
    kafka = FakePublisher()
    house.app.state.resources.entrance = Entrance(kafka, KEY, house.floor.live)
    house.floor.outage.away = {"types.read"}
    sent = await ana.post("/api/v1/notifications", json={"type": "signup", "to": "ana"})
    assert sent.status_code == 202, sent.text
    assert len(kafka.on("notifications.dev.requests")) == 1


async def test_who_only_sends_sees_what_there_is_and_writes_nothing(ana: httpx2.AsyncClient) -> None:
    assert (await ana.put(f"{TYPES}/signup", json={})).status_code == 403
    assert (await ana.post(f"{TEMPLATES}/preview", json={"template": WELCOME})).status_code == 403
    assert (await ana.get(TYPES)).status_code == 200


async def test_a_preview_shows_the_parts_for_somebody(olga: httpx2.AsyncClient, ana: httpx2.AsyncClient) -> None:
    template = WELCOME | {"html": "<b>{{ name }}</b>", "locales": {"fr": {"title": "Bonjour {{ name }}"}}}
    asked = {"variables": {"name": "<Ana>"}, "locale": "fr-CA", "channel": "email"}
    seen = await olga.post(f"{TEMPLATES}/preview", json={"template": template, **asked})
    assert seen.json()["data"] == {
        "title": "Bonjour <Ana>",
        "body": "Good to have you here, <Ana>.",
        "html": "<b>&lt;Ana&gt;</b>",
        "url": None,
    }
    await saved(olga, f"{TEMPLATES}/welcome", template)
    assert (await ana.post(f"{TEMPLATES}/welcome/preview", json=asked)).json()["data"] == seen.json()["data"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("a\nb {{ nobody }}", "body, line 2: 'nobody' is undefined"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "steps"),
    ],
)
async def test_a_preview_that_fails_says_in_which_line(olga: httpx2.AsyncClient, body: str, said: str) -> None:
    refused = await olga.post(f"{TEMPLATES}/preview", json={"template": {"body": body}})
    assert told(refused) == (422, ["/template/body"])
    assert said in refused.json()["message"]
