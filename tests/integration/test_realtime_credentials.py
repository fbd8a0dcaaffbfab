"""The WebSocket service's two calls with each credential: a session, an API key, and by default nobody without one."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import httpx2

from infrastructure.auth.keyring import Keyring, key_hash
from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from schemas.api_keys import NewKey, Permission
from tests.eventually import eventually
from tests.service_token import a_service_token
from tests.tokens import bearer, log_in

Unique = Callable[[str], str]


async def a_key(resources: Resources, *permissions: Permission) -> dict[str, str]:
    ring = Keyring(resources.stores.api_keys, key_hash(resources.settings))
    wanted = NewKey(name="realtime", producer="realtime", permissions=permissions)
    return {"X-API-Key": (await ring.create(wanted, "dev", "olga", datetime.now(UTC))).presented}


async def in_the_inbox_of(resources: Resources, person: str, text: str) -> None:
    async def there() -> bool:
        items = await resources.stores.inbox.newest("dev", person, before=None, limit=50)
        return text in {item.message for item in items}

    await eventually(there)


async def test_a_session_subscribes_and_sends_from_a_page_of_ours_alone(
    api: str, workers: Child, variables: Mapping[str, str], resources: Resources, unique: Unique
) -> None:
    subscribed, topic, text = {"user_id": "ana"}, unique("topic"), unique("text")
    async with httpx2.AsyncClient(base_url=api, timeout=30) as browser:
        await log_in(browser, variables, "ana")
        ours, foreign = {"Origin": api}, {"Origin": "https://evil.example"}
        done = await browser.post("/subscribe", json=subscribed | {"topics": [topic]}, headers=ours)
        assert done.json() == {"status": "subscribed", "user_id": "ana", "topics": [topic]}
        sent = await browser.post("/send-notification", json={"recipient_ids": ["ben"], "message": text}, headers=ours)
        assert (sent.status_code, sent.json()["status"]) == (200, "notification_sent")
        for path in ("/subscribe", "/send-notification"):
            assert (await browser.post(path, json={}, headers=foreign)).status_code == 403
    await in_the_inbox_of(resources, "ben", text)


async def test_a_key_does_what_its_permissions_say(api: str, workers: Child, resources: Resources, unique: Unique) -> None:
    person, topic, text = unique("person"), unique("topic"), unique("text")
    subscribe, send = {"user_id": person, "topics": [topic]}, {"topics": [topic], "message": text}
    sender = await a_key(resources, "notifications:send")
    backend = await a_key(resources, "notifications:send", "notifications:broadcast", "people:write")
    async with httpx2.AsyncClient(base_url=api, timeout=30) as client:
        assert (await client.post("/subscribe", json=subscribe, headers=sender)).status_code == 403
        assert (await client.post("/send-notification", json=send, headers=sender)).status_code == 403
        assert (await client.post("/subscribe", json=subscribe, headers=backend)).status_code == 200
        assert (await client.post("/send-notification", json=send, headers=backend)).status_code == 200
    await in_the_inbox_of(resources, person, text)


async def test_nobody_gets_in_without_a_credential_and_a_services_token_is_none_here(api: str) -> None:
    bodies = {
        "/subscribe": {"user_id": "ana", "topics": ["news"]},
        "/send-notification": {"recipient_ids": ["ana"], "message": "anonymous"},
    }
    async with httpx2.AsyncClient(base_url=api) as client:
        for path, body in bodies.items():
            assert (await client.post(path, json=body)).status_code == 401
            assert (await client.post(path, json=body, headers=bearer(a_service_token()))).status_code == 403
