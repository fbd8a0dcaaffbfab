"""What a run sends: known beforehand, told to the producer's ledger, handed in through one of the doors."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2

from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from schemas.outcomes import Unavailable
from tests.eventually import eventually
from tests.faults.ledger_check import ENDED, UNKNOWN, Expected, ProducerLedger, derived_endpoint, derived_id

ENVIRONMENT = "uat"
REQUESTS = f"notifications.{ENVIRONMENT}.requests"
STREAM = f"notifications:{ENVIRONMENT}"
PEOPLE = 25
# the producer that each door makes of its caller
DOORS = {"http": "user:ana", "kafka": "kafka", "redis": "bridge"}


@dataclass(frozen=True)
class Request:
    """One notification for one person; the run's name is in everything it leaves behind."""

    run: str
    door: str
    number: int
    channels: tuple[str, ...]
    kind: str = "faults.again"
    send_at: datetime | None = None
    mail_after: str | None = None  # the mail is a further channel, for whoever has not looked until then

    @property
    def person(self) -> str:
        return f"{self.run}-reader-{self.number % PEOPLE:02}"

    @property
    def address(self) -> str:
        return f"{self.person}@example.com"

    @property
    def request_id(self) -> str:
        return f"{self.run}-{self.door}-{self.number}"

    @property
    def notification(self) -> str:
        return derived_id("ntf_", ENVIRONMENT, DOORS[self.door], self.request_id)

    @property
    def expected(self) -> list[Expected]:
        return [self._expected(channel) for channel in self.channels]

    @property
    def body(self) -> dict[str, Any]:
        given = {"type": self.kind, "send_at": self.send_at and self.send_at.isoformat()}
        steps = [{"after": self.mail_after, "channels": ["email"]}] if self.mail_after else []
        first = [channel for channel in self.channels if not (steps and channel == "email")]
        return {name: value for name, value in given.items() if value} | {
            "to": [{"user": self.person, "email": self.address}],
            "channels": first,
            **({"fallback": steps} if steps else {}),
            "message": {"title": self.run, "body": f"Number {self.number} by {self.door}"},
            "request_id": self.request_id,
        }

    def _expected(self, channel: str) -> Expected:
        """A mail's endpoint is the hash of the address that the request itself gave."""
        address = self.address if channel == "email" else ""
        endpoint = derived_endpoint(address) if address else ""
        return Expected(derived_id("dlv_", self.notification, self.person, channel, endpoint), self.notification, address)


def a_flow(
    run: str,
    total: int,
    *,
    doors: Sequence[str] = ("kafka",),
    channels: Sequence[str] = ("in_app", "email"),
    mail_every: int = 1,
    kind: str = "faults.again",
) -> list[Request]:
    """Spread evenly over the doors; every so many-th with all channels, the others without mail."""
    without = tuple(channel for channel in channels if channel != "email")
    return [
        Request(run, doors[number % len(doors)], number, without if number % mail_every else tuple(channels), kind)
        for number in range(total)
    ]


@dataclass(frozen=True)
class Doors:
    """Hands requests in and keeps the producer's ledger: the id before, the acknowledgement after."""

    resources: Resources
    ledger: ProducerLedger
    http: httpx2.AsyncClient | None = None

    async def hand_in(self, flow: Iterable[Request], *, at_once: int = 24) -> None:
        permits = asyncio.Semaphore(at_once)

        async def through(request: Request) -> None:
            async with permits:
                self.ledger.sending(request.notification, request.expected)
                while not await self._accepted(request):
                    await asyncio.sleep(0.1)  # outcome unknown: repeated under the same request id
                self.ledger.acknowledged(request.notification)

        await asyncio.gather(*map(through, flow))

    async def hand_in_slowly(self, flow: Sequence[Request], *, per_s: float, lot: int = 10) -> None:
        """About so many a second, a lot at a time."""
        for begin in range(0, len(flow), lot):
            pause = asyncio.create_task(asyncio.sleep(lot / per_s))
            await self.hand_in(flow[begin : begin + lot])
            await pause

    async def _accepted(self, request: Request) -> bool:
        match request.door:
            case "kafka":
                record = Outgoing(REQUESTS, request.person, json.dumps(request.body).encode())
                with suppress(Unavailable):
                    await self.resources.publisher.publish(record)
                    return True
                return False
            case "redis":
                await self.resources.redis.xadd(STREAM, {"data": json.dumps(request.body)})
                return True
            case _:
                return await self._accepted_by_http(request.body)

    async def _accepted_by_http(self, body: Mapping[str, Any]) -> bool:
        assert self.http is not None, "this run has no API"
        answer = await self.http.post("/api/v1/notifications", json=body)
        assert answer.status_code in {202, 503}, answer.text
        return answer.status_code == 202


async def every_item_is_stored(flow: Iterable[Request], resources: Resources) -> bool:
    """In the inbox itself: no worker but deliver.in_app is needed for that."""
    standing = resources.stores.inbox.standing
    items = ((each.person, each.expected[0].delivery) for each in flow)
    return all(await asyncio.gather(*(standing(ENVIRONMENT, *item) for item in items)))


async def unfinished(flow: Iterable[Request], resources: Resources, *, within_s: float = 60) -> list[Request]:
    """What has deliveries that have not ended although there was time."""
    permits = asyncio.Semaphore(16)
    left = list(flow)

    async def is_open(request: Request) -> bool:
        async with permits:
            rows = await resources.stores.deliveries.of(ENVIRONMENT, request.notification)
        return len([row for row in rows if row.state in ENDED | {UNKNOWN}]) < len(request.channels)

    async def none_is_left() -> bool:
        nonlocal left
        still = await asyncio.gather(*map(is_open, left))
        left = [request for request, is_still in zip(left, still, strict=True) if is_still]
        return not left

    with suppress(AssertionError):
        await eventually(none_is_left, within_s=within_s)
    return left
