"""The self-test of `make run`: through each entrance to Ana's inbox, and by push to her browser; timed where it arrives."""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping

import httpx2
from redis.asyncio import Redis

from infrastructure.kafka.producer import open_publisher
from infrastructure.local.processes import CannotStart
from infrastructure.ports import Outgoing
from infrastructure.redis.client import address_of
from infrastructure.settings import Settings
from schemas import topics

PERSON = "ana"
WITHIN_S = 20.0
LOOK_EVERY_S = 0.01
PUSH = "Web Push"

Send = Callable[[str], Awaitable[None]]


class SelfTest:
    """Speaks to the running system from outside, as its users do."""

    def __init__(self, http: httpx2.AsyncClient, settings: Settings, token: str) -> None:
        self._http = http
        self._settings = settings
        self._environment = settings.default_environment
        self._headers = {"Authorization": f"Bearer {token}"}

    async def run(self) -> dict[str, float]:
        """Milliseconds from handing in to the stored item, or to the browser; raises `CannotStart` when one fails."""
        redis = Redis.from_url(address_of(self._settings))
        async with redis, open_publisher(self._settings) as publisher:

            async def raw(mark: str) -> None:
                body = json.dumps({"to": PERSON, "message": mark, "channels": ["in_app"]}).encode()
                await publisher.publish(Outgoing(topics.requests(self._environment), PERSON, body))

            async def bridge(mark: str) -> None:
                body = json.dumps({"to": PERSON, "message": mark, "channels": ["in_app"]})
                await redis.xadd(f"notifications:{self._environment}", {"data": body})

            entrances: dict[str, Send] = {"HTTP API": self._post, "raw Kafka": raw, "Redis stream": bridge}
            figures = {name: await self._timed(name, send, self._arrived) for name, send in entrances.items()}
        return figures | {PUSH: await self._timed(PUSH, self._push, self._was_pushed)}

    async def _post(self, mark: str, **more: object) -> None:
        body = {"to": PERSON, "message": mark, "channels": ["in_app"]} | more
        answer = await self._http.post("/api/v1/notifications", json=body, headers=self._headers)
        if answer.status_code != 202:
            raise CannotStart(f"The self-test was refused by the API: {answer.status_code} {answer.text}")

    async def _push(self, mark: str) -> None:
        """In a category nobody can switch off: Ana's quiet hours must not keep the stack from starting."""
        mandatory = self._settings.mandatory_categories[:1]
        await self._post(mark, channels=["push"], **({"category": mandatory[0]} if mandatory else {}))

    async def _timed(self, name: str, send: Send, arrived: Callable[[str], Awaitable[bool]]) -> float:
        mark = f"Self-test by {name}, {uuid.uuid4().hex[:8]}"
        began = time.perf_counter()
        await send(mark)
        try:
            async with asyncio.timeout(WITHIN_S):
                while not await arrived(mark):  # noqa: ASYNC110 - asked over HTTP, as a client would
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise CannotStart(f"The self-test by {name} did not arrive within {WITHIN_S:.0f} s") from None
        return (time.perf_counter() - began) * 1000

    async def _arrived(self, mark: str) -> bool:
        answer = await self._http.get("/api/v1/notifications/?limit=5", headers=self._headers)
        return any(item["message"] == mark for item in answer.json()["data"])

    async def _was_pushed(self, mark: str) -> bool:
        """What Ana's browser got, as the sandbox has read it with the browser's key."""
        answer = await self._http.get(f"{self._settings.sandbox_url}/calls", params={"provider": "web_push", "limit": 5})
        messages = [call["request"]["message"] for call in answer.json()]
        return any(isinstance(message, dict) and message.get("body") == mark for message in messages)


async def bearer_token(http: httpx2.AsyncClient, variables: Mapping[str, str], person: str) -> str:
    """A token of the local identity provider; with real logins elsewhere there is none, and no self-test."""
    form = {
        "grant_type": "password",
        "username": person,
        "password": person,
        "client_id": variables["AUTH0_CLIENT_ID"],
        "client_secret": variables["AUTH0_CLIENT_SECRET"],
        "audience": variables["AUTH0_AUDIENCE"],
        "scope": "openid",
    }
    answer = await http.post(f"{variables['AUTH0_ISSUER']}oauth/token", data=form)
    token: str = answer.raise_for_status().json()["access_token"]
    return token


async def self_test(variables: Mapping[str, str], settings: Settings) -> tuple[str, dict[str, float]]:
    """A token that works until tomorrow, and the figures."""
    async with httpx2.AsyncClient(base_url=f"http://localhost:{variables['PORT']}", timeout=10) as http:
        token = await bearer_token(http, variables, PERSON)
        return token, await SelfTest(http, settings, token).run()
