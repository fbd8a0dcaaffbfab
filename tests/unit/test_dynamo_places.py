"""What is on the wire takes a place; what waits to be repeated takes none."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from aiodynamo.client import Client
from aiodynamo.credentials import Key, StaticCredentials
from aiodynamo.http.types import Request, Response
from aiodynamo.models import RetryConfig

from infrastructure.dynamo.client import Dynamo, in_places
from infrastructure.urgency import ReservedPlaces

THROTTLED = json.dumps({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slowly"}).encode()


@dataclass(frozen=True)
class Patient(RetryConfig):
    """Repeats when it is told to."""

    time_limit_secs: float = 60
    now: asyncio.Event = field(default_factory=asyncio.Event)
    is_waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def attempts(self) -> AsyncIterator[None]:
        yield None
        self.is_waiting.set()
        await self.now.wait()
        yield None

    def delays(self) -> Iterable[float]:
        raise NotImplementedError("attempts asks nobody")


class Busy:
    """A store that throttles the first request it gets."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, request: Request) -> Response:
        self.asked += 1
        return Response(400, THROTTLED) if self.asked == 1 else Response(200, b"{}")


async def test_a_throttled_call_gives_its_place_back_while_it_waits() -> None:
    patience = Patient()
    http = in_places(Busy(), ReservedPlaces(2))  # one of the two is urgent work's own
    dynamo = Dynamo(Client(http, StaticCredentials(Key("id", "secret")), "eu-west-1", throttle_config=patience))
    throttled = asyncio.create_task(dynamo.call("PutItem", {}))
    await asyncio.wait_for(patience.is_waiting.wait(), 5)
    assert await asyncio.wait_for(dynamo.call("GetItem", {}), 5) == {}
    assert not throttled.done()
    patience.now.set()
    assert await asyncio.wait_for(throttled, 5) == {}
