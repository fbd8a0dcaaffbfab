"""One suite per port, run against the fake and the real part: what holds for one holds for the other."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from fakeredis import FakeAsyncRedis, FakeServer
from moto.server import ThreadedMotoServer
from redis.asyncio import Redis

from infrastructure.dynamo.api_keys import ApiKeyStore
from infrastructure.dynamo.caps import CapStore
from infrastructure.dynamo.client import Dynamo, open_dynamo
from infrastructure.dynamo.contacts import ContactStore
from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.devices import DeviceStore
from infrastructure.dynamo.digests import DigestStore
from infrastructure.dynamo.erasures import ErasureStore
from infrastructure.dynamo.expansions import ExpansionStore
from infrastructure.dynamo.forgetting import Forgetting
from infrastructure.dynamo.inbox import InboxStore
from infrastructure.dynamo.marks import QuarantineMarks
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.pointers import PointerStore
from infrastructure.dynamo.preferences import PreferenceStore
from infrastructure.dynamo.schedules import ScheduleStore
from infrastructure.dynamo.tables import create_tables
from infrastructure.dynamo.timers import TimerStore
from infrastructure.dynamo.traces import Traces
from infrastructure.dynamo.troubled import TroubleStore
from infrastructure.dynamo.versions import VersionStore, template_store
from infrastructure.local.ports import any_free_port
from infrastructure.ports import Publisher
from infrastructure.redis.client import open_redis
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas.templates import Template
from tests.fakes.devices import FakeDevices
from tests.fakes.digests import FakeDigests
from tests.fakes.erasures import FakeErasures
from tests.fakes.keys import FakeKeys
from tests.fakes.people import FakeForgetting, FakeTraces
from tests.fakes.preferences import FakePreferences
from tests.fakes.publisher import FakePublisher
from tests.fakes.stores import (
    FakeCaps,
    FakeContacts,
    FakeDeliveries,
    FakeExpansions,
    FakeInbox,
    FakeNotifications,
    FakePointers,
    FakeSchedules,
    FakeTimers,
)
from tests.fakes.trouble import FakeMarks, FakeTrouble
from tests.fakes.versions import FakeVersions


@dataclass(frozen=True)
class Shelves:
    """The stores under test, whoever stands behind them."""

    notifications: NotificationStore
    deliveries: DeliveryStore
    inbox: InboxStore
    timers: TimerStore
    schedules: ScheduleStore
    contacts: ContactStore
    caps: CapStore
    preferences: PreferenceStore
    trouble: TroubleStore
    marks: QuarantineMarks
    api_keys: ApiKeyStore
    digests: DigestStore
    expansions: ExpansionStore
    pointers: PointerStore
    templates: VersionStore[Template]
    devices: DeviceStore
    erasures: ErasureStore
    traces: Traces
    forgetting: Forgetting


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=any_free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _on(dynamo: Dynamo) -> Shelves:
    return Shelves(
        NotificationStore(dynamo),
        DeliveryStore(dynamo),
        InboxStore(dynamo),
        TimerStore(dynamo),
        ScheduleStore(dynamo),
        ContactStore(dynamo),
        CapStore(dynamo),
        PreferenceStore(dynamo),
        TroubleStore(dynamo),
        QuarantineMarks(dynamo),
        ApiKeyStore(dynamo),
        DigestStore(dynamo),
        ExpansionStore(dynamo),
        PointerStore(dynamo),
        template_store(dynamo),
        DeviceStore(dynamo),
        ErasureStore(dynamo),
        Traces(dynamo),
        Forgetting(dynamo),
    )


@pytest_asyncio.fixture(scope="session")
async def shelves_on_dynamodb_local(settings: Settings) -> AsyncIterator[Shelves]:
    async with open_dynamo(settings) as dynamo:
        yield _on(dynamo)


@pytest_asyncio.fixture(scope="session")
async def shelves_on_moto(settings: Settings, moto_address: str) -> AsyncIterator[Shelves]:
    changed = settings.model_copy(update={"aws_endpoint_url_dynamodb": moto_address, "environments": ("dev", "test")})
    await create_tables(changed)
    async with open_dynamo(changed) as dynamo:
        yield _on(dynamo)


@pytest.fixture(scope="session", params=["fake", "dynamodb_local", "moto"])
def shelves(request: pytest.FixtureRequest) -> Shelves:
    return _shelves(request)


def _shelves(request: pytest.FixtureRequest) -> Shelves:
    if request.param == "fake":
        ledger, notifications, expansions = FakeDeliveries(), FakeNotifications(), FakeExpansions()
        inbox, contacts, caps, preferences = FakeInbox(), FakeContacts(), FakeCaps(), FakePreferences()
        return Shelves(
            notifications,
            ledger,
            inbox,
            FakeTimers(),
            FakeSchedules(),
            contacts,
            caps,
            preferences,
            FakeTrouble(ledger),
            FakeMarks(),
            FakeKeys(),
            FakeDigests(ledger),
            expansions,
            FakePointers(),
            FakeVersions(),
            FakeDevices(),
            FakeErasures(),
            FakeTraces(ledger, inbox, contacts, caps, preferences),
            FakeForgetting(notifications, ledger, expansions),
        )
    found: Shelves = request.getfixturevalue(f"shelves_on_{request.param}")
    return found


@pytest.fixture(scope="session", params=["fake", "dynamodb_local"])
def racing_shelves(request: pytest.FixtureRequest) -> Shelves:
    """Without moto: under threads it shows rows that are only half made, so it proves nothing about races."""
    return _shelves(request)


@pytest.fixture(params=["fake", "kafka"])
def publisher(request: pytest.FixtureRequest) -> Publisher:
    if request.param == "fake":
        return FakePublisher()
    resources: Resources = request.getfixturevalue("resources")
    return resources.publisher


@pytest_asyncio.fixture
async def fakeredis() -> AsyncIterator[Redis]:
    async with FakeAsyncRedis(server=FakeServer()) as client:
        yield client


@pytest_asyncio.fixture
async def valkey(settings: Settings) -> AsyncIterator[Redis]:
    """The real one alone where it matters how a subscription ends: fakeredis does not let go of a cancelled reader."""
    client = open_redis(settings)
    yield client
    await client.aclose()


@pytest.fixture(params=["fakeredis", "valkey"])
def redis(request: pytest.FixtureRequest) -> Redis:
    found: Redis = request.getfixturevalue(request.param)
    return found
