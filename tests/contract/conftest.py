"""One suite per port, run against the fake and the real part: what holds for one holds for the other."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from fakeredis import FakeAsyncRedis, FakeServer
from moto.server import ThreadedMotoServer
from redis.asyncio import Redis

from infrastructure.dynamo.client import open_dynamo
from infrastructure.dynamo.contacts import ContactStore
from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.inbox import InboxStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.tables import create_tables
from infrastructure.dynamo.timers import TimerStore
from infrastructure.local.ports import any_free_port
from infrastructure.ports import Publisher
from infrastructure.redis.client import open_redis
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from tests.fakes.publisher import FakePublisher
from tests.fakes.stores import FakeContacts, FakeDeliveries, FakeInbox, FakeNotifications, FakeTimers


@dataclass(frozen=True)
class Shelves:
    """The stores under test, whoever stands behind them."""

    notifications: NotificationStore
    deliveries: DeliveryStore
    inbox: InboxStore
    timers: TimerStore
    contacts: ContactStore


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=any_free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest_asyncio.fixture(scope="session", params=["fake", "dynamodb-local", "moto"])
async def shelves(request: pytest.FixtureRequest) -> AsyncIterator[Shelves]:
    if request.param == "fake":
        yield Shelves(FakeNotifications(), FakeDeliveries(), FakeInbox(), FakeTimers(), FakeContacts())
        return
    settings: Settings = request.getfixturevalue("settings")
    if request.param == "moto":
        changes = {"aws_endpoint_url_dynamodb": request.getfixturevalue("moto_address"), "environments": ("dev",)}
        settings = settings.model_copy(update=changes)
        await create_tables(settings)
    async with open_dynamo(settings) as dynamo:
        yield Shelves(
            NotificationStore(dynamo), DeliveryStore(dynamo), InboxStore(dynamo), TimerStore(dynamo), ContactStore(dynamo)
        )


@pytest.fixture(params=["fake", "kafka"])
def publisher(request: pytest.FixtureRequest) -> Publisher:
    if request.param == "fake":
        return FakePublisher()
    resources: Resources = request.getfixturevalue("resources")
    return resources.publisher


@pytest_asyncio.fixture(params=["fakeredis", "valkey"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    if request.param == "fakeredis":
        async with FakeAsyncRedis(server=FakeServer()) as fake:
            yield fake
        return
    settings: Settings = request.getfixturevalue("settings")
    client = open_redis(settings)
    yield client
    await client.aclose()
    await asyncio.sleep(0)
