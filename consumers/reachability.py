"""What an attempt has told about an address, kept where the next plan looks: the one place that believes a provider."""

from datetime import UTC, datetime, timedelta

import structlog

from infrastructure.dynamo.contacts import ContactStore
from infrastructure.dynamo.devices import DeviceStore
from infrastructure.metrics import ADDRESSES_GONE
from schemas.devices import Device
from schemas.outcomes import Dead, Outcome, Sent
from schemas.plan import PlannedDelivery

log = structlog.get_logger()

_NOTED_AGAIN = timedelta(days=1)
"""That a device works is worth a write a day, not one for every push."""


class Reachability:
    def __init__(self, devices: DeviceStore, contacts: ContactStore) -> None:
        self._devices = devices
        self._contacts = contacts

    async def learn(self, environment: str, line: PlannedDelivery, outcome: Outcome) -> None:
        """Repeating it finds the same and changes nothing."""
        match outcome:
            case Dead(gone=True):
                await self._gone(environment, line)
            case Sent() if line.channel == "push":
                await self._worked(environment, line, datetime.now(UTC))
            case _:
                return

    async def _gone(self, environment: str, line: PlannedDelivery) -> None:
        if line.channel == "push":
            dropped = await self._devices.remove(environment, line.recipient, line.endpoint)
        elif line.channel == "email" and not line.bare and line.address:
            dropped = await self._contacts.bounced(environment, line.recipient, line.address, datetime.now(UTC))
        else:
            return
        if dropped:
            ADDRESSES_GONE.labels(line.channel).inc()
            log.info("address.gone", channel=line.channel, recipient=line.recipient, endpoint=line.endpoint)

    async def _worked(self, environment: str, line: PlannedDelivery, now: datetime) -> None:
        device = Device.model_validate_json(line.address or "{}")
        if device.last_ok_at is None or now - device.last_ok_at > _NOTED_AGAIN:
            await self._devices.worked(environment, line.recipient, device.id, now)
