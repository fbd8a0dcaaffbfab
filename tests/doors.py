"""Knocking at every door the way each caller of the table does, on the running product or on one in memory."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

import httpx2

from api.openapi import document
from api.routes.old_preferences import preference_id
from infrastructure.auth.keyring import Keyring
from schemas.api_keys import PERMISSIONS, NewKey
from schemas.ids import device_id
from tests.eventually import eventually
from tests.matrix import CALLERS
from tests.product import an_app

Client = Callable[[dict[str, str]], AbstractAsyncContextManager[httpx2.AsyncClient]]
TokenOf = Callable[[str], Awaitable[dict[str, str]]]

SEND = "/api/v1/notifications"
RESCHEDULE = f"PATCH {SEND}/{{notification_id}}"
DELETE = f"DELETE {SEND}/{{notification_id}}"
ERASE = "DELETE /api/v1/people/{person}"
HELLO = {"to": "ana", "message": "Hello", "environment": "dev"}
NEW_KEY = {"name": "matrix", "producer": "matrix", "environment": "dev"}

# What a door needs to be told before it can be judged; a door that is not here gets an empty object.
BODIES: Mapping[str, Any] = {
    f"POST {SEND}": HELLO,
    f"POST {SEND}/batch": [HELLO],
    f"POST {SEND}/mark-seen": {"ids": []},
    RESCHEDULE: {"send_at": "2036-12-02T09:00"},
    "POST /api/v1/notifications/preferences": {"category": "matrix", "channel": "email"},
    "PUT /api/v1/notifications/preferences/{preference}": {"enabled": True},
    "PATCH /api/v1/people/{person}": {"name": "Ana Moreau"},
    "POST /api/v1/people/{person}/subscriptions": {"topics": ["matrix"]},
    "POST /api/v1/people/{person}/devices": {"kind": "fcm", "token": "matrix-token"},
    "POST /subscribe": {"user_id": "ana", "topics": ["matrix"]},
    "POST /send-notification": {"recipient_ids": ["ana"], "message": "Hello"},
    "POST /api/v1/keys": NEW_KEY,
    "POST /api/v1/ops/deliveries/{notification_id}/{delivery_id}/settle": {"state": "SENT"},
    # names of the folder: whoever may write is told so each time
    "POST /api/v1/types": {"name": "order.shipped"},
    "POST /api/v1/templates": {"name": "order-shipped", "body": "Hello"},
    "PUT /api/v1/templates/{template_name}": {"body": "Hello"},
    "POST /api/v1/templates/preview": {"template": {"body": "Hello"}},
    "POST /api/v1/templates/{template_name}/preview": {"variables": {"order": "42"}},
}
PREFERENCE = preference_id(("category", "matrix", "email"))
QUERIES: Mapping[str, dict[str, str]] = {
    "POST /publish/{environment}": {"message": "Hello"},
    "GET /api/v1/preferences/explain": {"category": "matrix", "channel": "email"},
}
FAR_OFFSET = str(2**40)


class Doors:
    """The API, something of Ana's in it, and how each caller knocks."""

    def __init__(self, client: Client, ring: Keyring, headers: Mapping[str, dict[str, str]]) -> None:
        self._client, self._ring, self._headers = client, ring, headers
        self._later = ""
        self._document = document(an_app())["paths"]
        self._ids = {
            "environment": "dev",
            "partition": "0",
            "offset": FAR_OFFSET,
            "preference": PREFERENCE,
            "token": "none",
            "person": "ana",
            "topic": "matrix",
            "type_name": "order.shipped",
            "template_name": "order-shipped",
            "group": "dev.nobody",
            "device": device_id("fcm", "matrix-token"),
        }

    async def send_something(self) -> None:
        """A delivered notification of Ana's to herself, who is known."""
        async with self._client(self._headers["operator"]) as olga:
            (await olga.patch("/api/v1/people/ana", json={"name": "Ana Moreau"})).raise_for_status()
        async with self._client(self._headers["owner"]) as ana:
            sent = (await ana.post(SEND, json=HELLO | {"channels": ["in_app"]})).json()["data"]

            async def settled() -> dict[str, Any] | None:
                found: dict[str, Any] = (await ana.get(f"{SEND}/{sent['notification_id']}")).json()["data"] or {}
                return found if found.get("status") == "SETTLED" else None

            [delivery] = (await eventually(settled))["deliveries"]
            self._later = await self._for_later(ana)
        self._ids |= {"notification_id": sent["notification_id"], "delivery_id": delivery["delivery_id"]}
        self._ids["item_id"] = delivery["delivery_id"]

    async def _for_later(self, client: httpx2.AsyncClient) -> str:
        """One that waits for its time, for the door that gives it another."""
        sent = (await client.post(SEND, json=HELLO | {"send_at": "2036-12-01T09:00Z"})).json()["data"]

        async def waits() -> bool:
            found = (await client.get(f"{SEND}/{sent['notification_id']}")).json()["data"] or {}
            return bool(found.get("status") == "SCHEDULED")

        await eventually(waits)
        return str(sent["notification_id"])

    async def tried(self, name: str) -> tuple[int, ...]:
        """The status each caller is answered with."""
        return tuple([await self.ask(name, self._headers[caller]) for caller in CALLERS])

    async def ask(self, name: str, headers: dict[str, str]) -> int:
        method, _, path = name.partition(" ")
        told = self._document.get(path, {}).get(method.lower(), {})
        if "{key_id}" in path:  # its own key for each knock: some of these doors end it
            wanted = NewKey.model_validate(NEW_KEY)
            self._ids["key_id"] = (await self._ring.create(wanted, "dev", "matrix", datetime.now(UTC))).key.key_id
        ids = self._ids | (
            {
                RESCHEDULE: {"notification_id": self._later},
                DELETE: {"notification_id": self._ids["item_id"]},
                ERASE: {"person": "matrix-nobody"},  # Ana is still needed behind the next doors
            }.get(name, {})
        )
        in_query = {each["name"] for each in told.get("parameters", ()) if each["in"] == "query"}
        query = {"environment": "dev"} if "environment" in in_query else {}
        sent: dict[str, Any] = {"json": BODIES.get(name, {})} if "requestBody" in told else {}
        async with self._client(headers) as client:
            asked = client.stream(method, path.format(**ids), params=query | QUERIES.get(name, {}), **sent)
            async with asked as answer:  # a stream would have no end
                return answer.status_code


async def the_callers(token_of: TokenOf, ring: Keyring) -> dict[str, dict[str, str]]:
    """The credentials of each column."""
    wanted = NewKey(name="matrix", producer="matrix", permissions=PERMISSIONS)
    foreign = await ring.create(wanted, "test", "matrix", datetime.now(UTC))
    return {
        "owner": await token_of("ana"),
        "other": await token_of("ben"),
        "operator": await token_of("olga"),
        "anonymous": {},
        "other-env-key": {"X-API-Key": foreign.presented},
    }
