"""What operators see of Kafka and Redis, on the running product."""

from typing import Any

import httpx2

from infrastructure.local.processes import Child
from tests.eventually import eventually

OPS = "/api/v1/ops"


async def the_topics(olga: httpx2.AsyncClient) -> dict[str, dict[str, Any]]:
    return {topic["name"]: topic for topic in (await olga.get(f"{OPS}/topics")).json()["data"]}


async def test_operators_see_the_kafka_topics_groups_and_streams(olga: httpx2.AsyncClient, workers: Child) -> None:
    before = await the_topics(olga)
    assert all(topic["exists"] and topic["partitions"] for topic in before.values())
    await olga.post("/api/v1/notifications", json={"to": "olga", "message": "Hi", "channels": ["in_app"]})
    requests = "notifications.dev.requests"
    assert (await the_topics(olga))[requests]["records"] > before[requests]["records"]

    async def is_read() -> bool:
        found = (await olga.get(f"{OPS}/groups/dev.route")).json()["data"] or {}
        return bool(found.get("members")) and all(each["owner"] for each in found["partitions"])

    assert await eventually(is_read)
    streams = (await olga.get(f"{OPS}/streams")).json()["data"]
    assert [each["stream"] for each in streams] == ["notifications:dev", "inventory:low-stock:stream"]
