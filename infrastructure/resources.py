"""Opens what a process needs and closes it in reverse. Importing this module connects to nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2
from redis.asyncio import Redis

from infrastructure.catalogue import load_catalogue
from infrastructure.channels.push_clients import PushClients, open_push_clients
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
from infrastructure.dynamo.forgetting_digests import ForgettingDigests
from infrastructure.dynamo.inbox import InboxStore
from infrastructure.dynamo.marks import QuarantineMarks
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.pointers import PointerStore
from infrastructure.dynamo.preferences import PreferenceStore
from infrastructure.dynamo.schedules import ScheduleStore
from infrastructure.dynamo.tallies import Tallies
from infrastructure.dynamo.timers import TimerStore
from infrastructure.dynamo.traces import Traces
from infrastructure.dynamo.troubled import TroubleStore
from infrastructure.dynamo.versions import VersionStore, template_store, type_store
from infrastructure.kafka.entrance import Entrance
from infrastructure.kafka.producer import open_publisher
from infrastructure.live_catalogue import LiveCatalogue
from infrastructure.ports import Publisher
from infrastructure.redis.client import open_redis
from infrastructure.redis.live import Announcer
from infrastructure.settings import Settings
from schemas.templates import Template
from schemas.types import NotificationType


@dataclass(frozen=True)
class Stores:
    """Every table, on one connection pool."""

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
    types: VersionStore[NotificationType]
    templates: VersionStore[Template]
    devices: DeviceStore
    tallies: Tallies
    erasures: ErasureStore
    traces: Traces
    forgetting: Forgetting
    forgetting_digests: ForgettingDigests

    @classmethod
    def on(cls, dynamo: Dynamo, audience_shards: int = 16) -> "Stores":
        deliveries, digests = DeliveryStore(dynamo), DigestStore(dynamo)
        return cls(
            NotificationStore(dynamo),
            deliveries,
            InboxStore(dynamo),
            TimerStore(dynamo),
            ScheduleStore(dynamo),
            ContactStore(dynamo, audience_shards),
            CapStore(dynamo),
            PreferenceStore(dynamo),
            TroubleStore(dynamo),
            QuarantineMarks(dynamo),
            ApiKeyStore(dynamo),
            digests,
            ExpansionStore(dynamo),
            PointerStore(dynamo),
            type_store(dynamo),
            template_store(dynamo),
            DeviceStore(dynamo),
            Tallies(deliveries),
            ErasureStore(dynamo),
            Traces(dynamo),
            Forgetting(dynamo),
            ForgettingDigests(dynamo, digests),
        )


@dataclass(frozen=True)
class Resources:
    """What both floors above share."""

    settings: Settings
    catalogue: LiveCatalogue
    stores: Stores
    publisher: Publisher
    entrance: Entrance
    redis: Redis
    announcer: Announcer
    http: httpx2.AsyncClient
    push: PushClients


def seal_keys(settings: Settings) -> tuple[bytes, ...]:
    """The key by which our entrances are known to route, and after a rotation the one that waiting requests carry."""
    secrets = (settings.app_secret_key, settings.app_secret_key_previous)
    return tuple(secret.get_secret_value().encode() for secret in secrets if secret.get_secret_value())


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Raises `Unavailable` with a sentence when a part cannot be reached at start."""
    folder = load_catalogue(settings.types_dir)
    async with AsyncExitStack() as stack:
        redis = open_redis(settings)
        stack.push_async_callback(redis.aclose)
        http = await stack.enter_async_context(
            httpx2.AsyncClient(timeout=settings.provider_timeout_s, follow_redirects=False)
        )
        push = await stack.enter_async_context(open_push_clients(settings))
        dynamo = await stack.enter_async_context(open_dynamo(settings))
        publisher = await stack.enter_async_context(open_publisher(settings))
        stores = Stores.on(dynamo, settings.audience_shards)
        catalogue = LiveCatalogue(folder, stores.types, stores.templates, settings.types_refresh_s)
        yield Resources(
            settings=settings,
            catalogue=catalogue,
            stores=stores,
            publisher=publisher,
            entrance=Entrance(publisher, seal_keys(settings)[0], catalogue),
            redis=redis,
            announcer=Announcer(redis),
            http=http,
            push=push,
        )
