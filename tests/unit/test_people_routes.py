"""People over HTTP: one's own topics, other people's with the right to, and the WebSocket service's two older calls."""

from typing import Any

import httpx2
import pytest

from tests.fakes.house import House

PEOPLE = "/api/v1/people"


async def topics(client: httpx2.AsyncClient, person: str = "me") -> list[str]:
    answer = await client.get(f"{PEOPLE}/{person}/subscriptions")
    assert answer.status_code == 200, answer.text
    return [each["topic"] for each in answer.json()["data"]]


async def test_one_subscribes_oneself_looks_and_leaves(ana: httpx2.AsyncClient) -> None:
    told = {"topics": ["teams/blue", "news"]}
    assert (await ana.post(f"{PEOPLE}/me/subscriptions", json=told)).status_code == 200
    first = (await ana.get(f"{PEOPLE}/me/subscriptions")).json()["data"]
    assert (await ana.post(f"{PEOPLE}/ana/subscriptions", json=told)).status_code == 200
    assert (await ana.get(f"{PEOPLE}/me/subscriptions")).json()["data"] == first, "they have belonged since the first time"
    assert (await ana.delete(f"{PEOPLE}/me/subscriptions/teams/blue")).status_code == 200
    assert await topics(ana) == ["news"]
    assert (await ana.delete(f"{PEOPLE}/me/subscriptions/teams/blue")).status_code == 200


async def test_somebody_elses_topics_and_address_are_for_those_with_the_right_to(
    ana: httpx2.AsyncClient, olga: httpx2.AsyncClient
) -> None:
    assert (await ana.get(f"{PEOPLE}/ben")).status_code == 403
    assert (await ana.get(f"{PEOPLE}/ben/subscriptions")).status_code == 403
    assert (await ana.post(f"{PEOPLE}/ben/subscriptions", json={"topics": ["news"]})).status_code == 403
    assert (await ana.delete(f"{PEOPLE}/ben/subscriptions/news")).status_code == 403
    assert (await olga.post(f"{PEOPLE}/ben/subscriptions", json={"topics": ["news"]})).status_code == 200
    assert await topics(olga, "ben") == ["news"]


async def test_an_address_is_set_by_backends_and_not_by_oneself(ana: httpx2.AsyncClient, olga: httpx2.AsyncClient) -> None:
    assert (await olga.get(f"{PEOPLE}/zoe")).status_code == 404
    assert (await ana.patch(f"{PEOPLE}/me", json={"email": "elsewhere@example.com"})).status_code == 403
    set_ = await olga.patch(f"{PEOPLE}/zoe", json={"email": "zoe@example.com", "name": "Zoe"})
    assert set_.json()["data"] == {
        "person": "zoe",
        "email": "zoe@example.com",
        "email_verified": True,
        "name": "Zoe",
        "zone": None,
        "locale": None,
        "email_bounced_at": None,
        "email_state": "verified",
    }
    cleared = await olga.patch(f"{PEOPLE}/zoe", json={"email": None})
    gone = {"email": None, "email_verified": False, "email_state": None}
    assert cleared.json()["data"] == set_.json()["data"] | gone
    assert (await olga.patch(f"{PEOPLE}/zoe", json={"email": "no address"})).status_code == 422
    assert (await olga.patch(f"{PEOPLE}/zoe", json={})).status_code == 422


async def test_nobody_lets_themselves_into_a_closed_topic(
    house: House, ana: httpx2.AsyncClient, olga: httpx2.AsyncClient
) -> None:
    resources = house.app.state.resources
    resources.settings = resources.settings.model_copy(update={"closed_topics": ("incidents",)})
    refused = await ana.post(f"{PEOPLE}/me/subscriptions", json={"topics": ["news", "incidents"]})
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "closed_topic")
    older = await ana.post("/subscribe", json={"user_id": "ana", "topics": ["incidents"]})
    assert older.status_code == 403
    assert await topics(ana) == []
    assert (await olga.post(f"{PEOPLE}/ana/subscriptions", json={"topics": ["incidents"]})).status_code == 200
    assert await topics(ana) == ["incidents"]


async def test_the_older_subscribe_believes_nobody_about_somebody_else(
    ana: httpx2.AsyncClient, olga: httpx2.AsyncClient
) -> None:
    body: dict[str, Any] = {"user_id": "ana", "topics": ["news", "sport"]}
    done = await ana.post("/subscribe", json=body)
    assert (done.status_code, done.json()) == (200, {"status": "subscribed", **body})
    assert await topics(ana) == ["news", "sport"]
    assert (await ana.post("/subscribe", json=body | {"user_id": "ben"})).status_code == 403
    assert (await olga.post("/subscribe", json=body | {"user_id": "ben"})).status_code == 200


async def test_the_older_send_reaches_inboxes_and_answers_in_its_old_shape(olga: httpx2.AsyncClient) -> None:
    body = {"recipient_ids": ["olga"], "topics": ["news"], "message": "Hello", "broadcast": False}
    sent = await olga.post("/send-notification", json=body, headers={"Idempotency-Key": "s-1"})
    assert sent.status_code == 200, sent.text
    told = sent.json()
    assert told["status"] == "notification_sent"
    assert told["detail"] == body | {"notification_id": told["detail"]["notification_id"], "request_id": "s-1"}
    again = await olga.post("/send-notification", json=body, headers={"Idempotency-Key": "s-1"})
    assert again.json() == told
    inbox = (await olga.get("/api/v1/notifications/")).json()["data"]
    assert [item["message"] for item in inbox] == ["Hello"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"message": "to nobody"}, 422),
        ({"message": "to nobody", "recipient_ids": [], "broadcast": None}, 422),
        ({"recipient_ids": ["ben"]}, 422),
        ({"recipient_ids": ["ben"], "message": "x", "colour": "red"}, 422),
        ({"recipient_ids": ["ben"], "message": "x"}, 200),
        ({"topics": ["news"], "message": "x"}, 403),
        ({"broadcast": True, "message": "x"}, 403),
    ],
)
async def test_what_the_older_send_refuses(ana: httpx2.AsyncClient, body: dict[str, Any], status: int) -> None:
    answer = await ana.post("/send-notification", json=body)
    assert answer.status_code == status, answer.text


async def test_nobody_without_a_credential_gets_in_unless_the_deployment_says_so(house: House) -> None:
    subscribe, send = {"user_id": "ben", "topics": ["news"]}, {"recipient_ids": ["ben"], "message": "anonymous"}
    async with house.client() as nobody:
        assert (await nobody.post("/subscribe", json=subscribe)).status_code == 401
        assert (await nobody.post("/send-notification", json=send)).status_code == 401
        resources = house.app.state.resources
        resources.settings = resources.settings.model_copy(update={"legacy_anonymous": True})
        assert (await nobody.post("/subscribe", json=subscribe)).status_code == 200
        assert (await nobody.post("/send-notification", json=send | {"broadcast": True})).status_code == 200
        foreign = {"Origin": "https://evil.example"}
        assert (await nobody.post("/send-notification", json=send, headers=foreign)).status_code == 403
        bad = {"Authorization": "Bearer nonsense"}
        assert (await nobody.post("/send-notification", json=send, headers=bad)).status_code == 401
        assert (await nobody.post("/api/v1/notifications", json={"to": "ben", "message": "x"})).status_code == 401
