"""The inventory notification service (seed 002) on the running product: an entry of its stream, and every call it had."""

from collections.abc import Callable
from typing import Any

import httpx2

from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from schemas.legacy import LOW_STOCK, LOW_STOCK_STREAM
from tests.eventually import eventually
from tests.integration.conftest import TokenOf

INBOX = "/api/v1/notifications"


async def test_an_alert_of_its_stream_is_listed_counted_read_and_mailed(
    resources: Resources,
    workers: Child,
    api: str,
    bearer_of: TokenOf,
    olga: httpx2.AsyncClient,
    sandbox: httpx2.AsyncClient,
    unique: Callable[[str], str],
) -> None:
    async with httpx2.AsyncClient(base_url=api, headers=await bearer_of("user123"), timeout=30) as user:
        (await olga.patch("/api/v1/people/user123", json={"email": "user123@example.com"})).raise_for_status()
        (await user.post("/api/v1/people/me/subscriptions", json={"topics": [LOW_STOCK]})).raise_for_status()
        (await user.post(f"{INBOX}/mark-all-read")).raise_for_status()
        name = unique("Teapot")
        await resources.redis.xadd(LOW_STOCK_STREAM, {"product_id": "7", "product_name": name, "current_stock": "2"})

        async def listed() -> dict[str, Any] | None:
            items: list[dict[str, Any]] = (await user.get(f"{INBOX}/")).json()["data"]
            return next((item for item in items if name in item["title"]), None)

        async def mailed() -> list[dict[str, Any]]:
            calls: list[dict[str, Any]] = (await sandbox.get("/calls", params={"provider": "email"})).json()
            return [call["request"] for call in calls if name in call["request"]["subject"]]

        item = await eventually(listed)
        assert (item["title"], item["read_at"]) == (f"Low stock: {name}", None)
        [mail] = await eventually(mailed)
        assert mail["to"] == ["user123@example.com"]
        assert "2 left" in mail["text"]

        assert (await user.get(f"{INBOX}/unread")).json()["data"] == {"unread": 1}
        assert (await user.post(f"{INBOX}/mark-read/{item['id']}")).json()["data"] == {"unread": 0}
        (await user.post(f"{INBOX}/test")).raise_for_status()

        async def tested() -> bool:
            return bool((await user.get(f"{INBOX}/unread")).json()["data"]["unread"])

        await eventually(tested)
        assert (await user.post(f"{INBOX}/mark-all-read")).json()["data"] == {"read": 1, "unread": 0}
        await user.delete(f"/api/v1/people/me/subscriptions/{LOW_STOCK}")
