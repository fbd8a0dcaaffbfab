"""What operators see of Kafka and Redis, on the running product."""

from typing import Any

import httpx2

from infrastructure.local.processes import Child
from tests.eventually import eventually
from tests.integration.conftest import Fault

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


async def test_a_provider_that_is_out_is_seen_to_be_out_and_to_come_back(
    olga: httpx2.AsyncClient, workers: Child, fault: Fault
) -> None:
    async def email() -> str | None:
        listed = (await olga.get(f"{OPS}/providers")).json()["data"]
        return next((each["state"] for each in listed if each["channel"] == "email"), None)

    async def is_in() -> bool:
        return await email() == "in"

    async def is_not() -> bool:
        return await email() in ("out", "probing")

    await eventually(is_in)
    await fault("email", mode="error")
    for _ in range(6):
        await olga.post(
            "/api/v1/notifications", json={"to": [{"email": "x@example.com"}], "message": "Hi", "channels": ["email"]}
        )
    await eventually(is_not)
    await fault("email", mode="ok")
    await eventually(is_in, within_s=40)
