"""Something in every drawer before the strange calls begin, so that they do not only meet what is not there."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from aiokafka import AIOKafkaProducer

from schemas.legacy import LOW_STOCK
from tests.eventually import eventually
from tests.tokens import bearer, token_of

SEND = "/api/v1/notifications"
OPERATOR = "olga"
MESSAGE = {"to": OPERATOR, "message": "Hello", "channels": ["in_app"]}


@dataclass(frozen=True)
class Warm:
    """What schemathesis is told: who calls, and ids of what exists."""

    variables: dict[str, str]
    ids: dict[str, tuple[str | int, ...]]

    def as_toml(self) -> str:
        values = {name: ", ".join(json.dumps(each) for each in found) for name, found in self.ids.items()}
        return "".join(f"\n[dictionaries.{name}]\nvalues = [{listed}]\n" for name, listed in values.items())


async def warm_up(address: str, told: Mapping[str, str]) -> Warm:
    """The operator logs in, and gets notifications, a key, a preference and a notification that waits for its time."""
    token = await token_of(told, OPERATOR)
    async with httpx2.AsyncClient(base_url=address, headers=bearer(token), timeout=30) as olga:
        item = await _delivered(olga)
        later = await _data(olga, "POST", SEND, json=MESSAGE | {"send_at": "2036-12-01T09:00Z"})
        key = await _data(olga, "POST", "/api/v1/keys", json={"name": "fuzzing", "producer": "fuzzing"})
        switch = {"category": "fuzzing", "channel": "email"}
        preference = await _data(olga, "POST", f"{SEND}/preferences", json=switch)
        place = await _in_quarantine(olga, told)
    ids = {
        "notifications": (item["notification_id"], later["notification_id"]),
        "items": (item["id"],),
        "keys": (key["key_id"],),
        "preferences": (preference["id"],),
        "people": ("me", OPERATOR),
        "environments": ("dev", "test"),
        "types": ("order.shipped", LOW_STOCK),
        "groups": ("dev.route", "dev.persist"),
        "partitions": (place["partition"],),
        "offsets": (place["offset"],),
    }
    return Warm({"CARILLON_TOKEN": token, **_signed(told.get("API_TOKEN", "none"))}, ids)


async def _delivered(client: httpx2.AsyncClient) -> dict[str, Any]:
    """An item in the inbox, with the notification that brought it."""
    sent = await _data(client, "POST", SEND, json=MESSAGE)

    async def arrived() -> dict[str, Any] | None:
        listed = await _data(client, "GET", f"{SEND}/", params={"limit": 100})
        return next((each for each in listed if each["notification_id"] == sent["notification_id"]), None)

    return await eventually(arrived)


async def _in_quarantine(client: httpx2.AsyncClient, told: Mapping[str, str]) -> dict[str, Any]:
    """A record that is no request, as somebody's mistake brings it."""
    producer = AIOKafkaProducer(bootstrap_servers=told["KAFKA_BOOTSTRAP_SERVERS"])
    await producer.start()
    try:
        await producer.send_and_wait("notifications.dev.requests", b"no request")
    finally:
        await producer.stop()

    async def listed() -> dict[str, Any] | None:
        return next(iter(await _data(client, "GET", "/api/v1/ops/quarantine")), None)

    return dict((await eventually(listed))["position"])


async def _data(client: httpx2.AsyncClient, method: str, path: str, **said: Any) -> Any:
    answer = await client.request(method, path, **said)
    assert answer.is_success, answer.text
    return answer.json()["data"]


def _signed(token: str) -> dict[str, str]:
    """The older service's headers. They sign the time alone, so they are good for its window, which a run fits into."""
    now = str(int(time.time()))
    mac = hmac.new(token.encode(), now.encode(), hashlib.sha256).hexdigest()
    return {
        "CARILLON_LEGACY_TOKEN": token,
        "CARILLON_LEGACY_TIMESTAMP": now,
        "CARILLON_LEGACY_SIGNATURE": mac,
    }
