"""The AsyncAPI document says of every Kafka topic of the registry what is on it, and is what is committed and served."""

import json
import re
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api import published
from api.openapi import RENEW
from api.routes import published as routes
from schemas import asyncapi
from schemas.requests import CHANNELS
from schemas.topics import registry

DOCUMENT = asyncapi.document()
SERVED = {
    "/schemas/request.json": "request.schema.json",
    "/schemas/receipt.json": "receipt.schema.json",
    "/schemas/status.json": "status.schema.json",
    "/asyncapi.json": "asyncapi.json",
}


@pytest.mark.parametrize("name", published.FILES)
def test_the_committed_file_is_what_the_code_makes(name: str) -> None:
    committed = (published.FOLDER / name).read_text(encoding="utf-8")
    assert committed == published.as_text(name), f"docs/{name} is not what the code says; if that is meant: `{RENEW}`"


@pytest.mark.parametrize(("path", "name"), SERVED.items())
async def test_it_is_served_to_everybody_as_it_is_committed(path: str, name: str) -> None:
    app = FastAPI()
    app.include_router(routes.router)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.text == (published.FOLDER / name).read_text(encoding="utf-8")
    assert answer.headers["content-type"].startswith("application/")


def test_everything_published_is_served() -> None:
    assert set(SERVED.values()) == set(published.FILES)


def test_every_topic_is_a_channel_with_its_key_and_its_retention() -> None:
    told = {channel["address"]: channel for channel in DOCUMENT["channels"].values()}
    for topic in registry("{env}", CHANNELS):
        assert topic.key in told[topic.name]["description"]
        kept = told[topic.name]["bindings"]["kafka"]["topicConfiguration"]
        assert kept == {"retention.ms": topic.retention_ms, "max.message.bytes": topic.max_message_bytes}
    assert len(told) == len(registry("{env}", CHANNELS))


def test_every_channel_has_its_operations_and_every_reference_leads_somewhere() -> None:
    used = {operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()}
    assert used == {f"#/channels/{name}" for name in DOCUMENT["channels"]}
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)))
    assert any(reference.startswith("components/schemas/") for reference in references)
    for reference in references:
        place: Any = DOCUMENT
        for part in reference.split("/"):
            assert part in place, reference
            place = place[part]


def test_others_write_requests_alone() -> None:
    """What is tagged public and received; the rest is ours to write."""
    public = {name for name, channel in DOCUMENT["channels"].items() if channel["tags"] == [{"name": "public"}]}
    received = {name for name in public if f"receive.{name}" in DOCUMENT["operations"]}
    assert received == {"requests", "requests.urgent", "requests.bulk"}
    assert public - received == {"receipts", "status", "quarantine", "dlq"}
