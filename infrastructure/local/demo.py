"""`python -m infrastructure.local.demo`: Kafka topics, tables, and the demo people with their addresses."""

import asyncio
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit

from infrastructure.dynamo.client import open_dynamo
from infrastructure.dynamo.contacts import ContactStore
from infrastructure.dynamo.devices import DeviceStore
from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.loopback import LOOPBACK_HOSTS
from infrastructure.local.sandbox.browser import subscription
from infrastructure.settings import Settings
from schemas.devices import WebDevice, device_of
from schemas.legacy import LOW_STOCK
from schemas.outcomes import Unavailable
from schemas.recipients import Contact

PEOPLE = {"ana": "Ana Demo", "ben": "Ben Demo", "user123": "User 123"}


async def prepare(settings: Settings) -> None:
    """Idempotent: what is there stays as it is."""
    await asyncio.gather(create_topics(settings), _stores(settings))


async def _stores(settings: Settings) -> None:
    await create_tables(settings)
    async with open_dynamo(settings) as dynamo:
        contacts = ContactStore(dynamo, settings.audience_shards)
        for environment in settings.environments:
            for person, name in PEOPLE.items():
                contact = Contact(person=person, name=name, email=f"{person}@example.com", email_verified=True)
                await contacts.learn(environment, contact)
            await contacts.subscribe(environment, "ana", (LOW_STOCK,))
            await _ana_has_a_browser(DeviceStore(dynamo), environment, settings.local_sandbox)


async def _ana_has_a_browser(devices: DeviceStore, environment: str, sandbox: str) -> None:
    """Which listens at the provider sandbox; where that had another port the last time, nobody listens any more."""
    if not sandbox:
        return
    told = WebDevice.model_validate({"kind": "web", "label": "Demo browser", "subscription": subscription(sandbox, "ana")})
    for device in await devices.of(environment, "ana"):
        if device.kind == "web" and urlsplit(device.token).hostname in LOOPBACK_HOSTS and device.token != told.token:
            await devices.remove(environment, "ana", device.id)
    await devices.register(environment, "ana", device_of(told, datetime.now(UTC)))


def main() -> None:
    try:
        asyncio.run(prepare(Settings()))
    except Unavailable as error:
        sys.exit(f"The local stack could not be prepared: {error}")


if __name__ == "__main__":
    main()
