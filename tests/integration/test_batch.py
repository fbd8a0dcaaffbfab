"""A batch and a test notification on the running product."""

from collections.abc import Callable
from typing import Any

import httpx2

from infrastructure.local.processes import Child
from tests.eventually import eventually

SEND = "/api/v1/notifications"
Unique = Callable[[str], str]


async def test_each_of_a_batch_arrives_and_the_wrong_one_is_named(
    ana: httpx2.AsyncClient, ben: httpx2.AsyncClient, workers: Child, unique: Unique
) -> None:
    texts = [unique("text") for _ in range(5)]
    batch: list[dict[str, Any]] = [{"to": "ben", "message": text, "request_id": text} for text in texts]
    answer = await ana.post(f"{SEND}/batch", json={"requests": [*batch, {"to": "ben"}]})
    assert answer.status_code == 200
    assert [item["status"] for item in answer.json()["data"]["items"]] == [202] * 5 + [422]

    async def arrived() -> bool:
        items = (await ben.get(f"{SEND}/", params={"limit": 100})).json()["data"]
        return set(texts) <= {item["message"] for item in items}

    assert await eventually(arrived)
    again = await ana.post(f"{SEND}/batch", json=batch)
    assert [item["replayed"] for item in again.json()["data"]["items"]] == [True] * 5


async def test_a_test_notification_arrives_in_ones_own_inbox(ben: httpx2.AsyncClient, workers: Child) -> None:
    sent = (await ben.post(f"{SEND}/test", json={"channels": ["in_app"]})).json()["data"]

    async def settled() -> dict[str, Any] | None:
        found: dict[str, Any] = (await ben.get(f"{SEND}/{sent['notification_id']}")).json()["data"] or {}
        return found if found.get("status") == "SETTLED" else None

    found = await eventually(settled)
    assert [(line["channel"], line["recipient"], line["state"]) for line in found["deliveries"]] == [
        ("in_app", "ben", "SENT")
    ]
