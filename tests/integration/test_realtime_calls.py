"""The WebSocket service's two calls on the running product: subscribe, then send to the topic, to a person and to all."""

from collections.abc import Callable
from typing import Any

import httpx2

from infrastructure.local.processes import Child
from tests.eventually import eventually
from tests.integration.conftest import TokenOf


async def test_who_subscribed_gets_what_is_sent_to_the_topic_and_everybody_gets_a_broadcast(
    api: str, workers: Child, ben: httpx2.AsyncClient, bearer_of: TokenOf, unique: Callable[[str], str]
) -> None:
    topic = unique("scores")

    async def send(client: httpx2.AsyncClient, **body: Any) -> None:
        answer = await client.post("/send-notification", json=body)
        assert (answer.status_code, answer.json()["status"]) == (200, "notification_sent"), answer.text

    async def messages() -> set[str]:
        return {item["message"] for item in (await ben.get("/api/v1/notifications/")).json()["data"]}

    async with httpx2.AsyncClient(base_url=api, headers=await bearer_of("ben"), timeout=30) as program:
        told = await program.post("/subscribe", json={"user_id": "ben", "topics": [topic]})
        assert told.json() == {"status": "subscribed", "user_id": "ben", "topics": [topic]}
        mine = (await program.get("/api/v1/people/me/subscriptions")).json()["data"]
        assert topic in {each["topic"] for each in mine}
    async with httpx2.AsyncClient(base_url=api, headers=await bearer_of("olga"), timeout=30) as olga:
        await send(olga, topics=[topic], message=(group := unique("group")))
        await send(olga, recipient_ids=["ben"], message=(personal := unique("personal")))
        await send(olga, broadcast=True, message=(broadcast := unique("broadcast")))

    async def all_there() -> bool:
        return {group, personal, broadcast} <= await messages()

    await eventually(all_there)
