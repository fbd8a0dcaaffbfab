"""The devices of people, in memory."""

# pylint: disable=super-init-not-called  # there is no client behind it

from datetime import datetime

from infrastructure.dynamo.devices import DeviceStore, TooManyDevices
from schemas.devices import MAX_DEVICES, Device, named
from tests.fakes.stores import Outage


class FakeDevices(DeviceStore):
    def __init__(self, outage: Outage | None = None) -> None:
        self.rows: dict[tuple[str, str], tuple[Device, ...]] = {}
        self._outage = outage or Outage()

    async def of(self, environment: str, person: str) -> tuple[Device, ...]:
        self._outage.touch("devices.of")
        return self.rows.get((environment, person), ())

    async def register(self, environment: str, person: str, device: Device) -> Device:
        self._outage.write("devices.register")
        mine = self.rows.get((environment, person), ())
        known = named(mine, device.id)
        if known is None and len(mine) >= MAX_DEVICES:
            raise TooManyDevices(person)
        for (where, who), theirs in self.rows.items():
            if where == environment:
                self.rows[where, who] = tuple(each for each in theirs if each.id != device.id)
        kept = (
            {"added_at": known.added_at, "last_ok_at": known.last_ok_at, "label": device.label or known.label}
            if known
            else {}
        )
        registered = device.model_copy(update=kept)
        self.rows[environment, person] = (*self.rows.get((environment, person), ()), registered)
        return registered

    async def remove(self, environment: str, person: str, device: str) -> bool:
        self._outage.write("devices.remove")
        mine = self.rows.get((environment, person), ())
        self.rows[environment, person] = tuple(each for each in mine if each.id != device)
        return named(mine, device) is not None

    async def forget(self, environment: str, person: str) -> int:
        self._outage.write("devices.forget")
        return len(self.rows.pop((environment, person), ()))

    async def worked(self, environment: str, person: str, device: str, at: datetime) -> None:
        self._outage.write("devices.worked")
        mine = self.rows.get((environment, person), ())
        self.rows[environment, person] = tuple(
            each.model_copy(update={"last_ok_at": at}) if each.id == device else each for each in mine
        )
