"""The devices of people. Two kinds of rows in one table: a person's with all their devices, a device's with its person.

One row per person, because route reads it in the one batch in which it reads the contact. A device belongs to whoever
registered it last: its row, the earlier person's and the new one's change in one transaction.
"""

import asyncio
import random
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from infrastructure.dynamo.client import Dynamo, Item
from infrastructure.dynamo.tables import DEVICES
from schemas.devices import MAX_DEVICES, Device, named
from schemas.outcomes import Unavailable

_TRIES = 20
_PAUSE_S = 0.02


class TooManyDevices(ValueError):
    """A person has as many devices as one may have."""


class DeviceStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def of(self, environment: str, person: str) -> tuple[Device, ...]:
        """A consistent read, batched with the others of the moment."""
        devices, _ = await self._read(environment, person)
        return devices

    async def of_many(self, environment: str, people: Sequence[str]) -> dict[str, tuple[Device, ...]]:
        found = await asyncio.gather(*(self.of(environment, person) for person in people))
        return dict(zip(people, found, strict=True))

    async def register(self, environment: str, person: str, device: Device) -> Device:
        """From now on it is theirs and nobody else's; raises `TooManyDevices`. Said again, it keeps its first time."""
        for tried in range(_TRIES):
            (mine, version), holder = await asyncio.gather(
                self._read(environment, person), self._holder(environment, device.id)
            )
            registered = _as_known(device, named(mine, device.id))
            if named(mine, device.id) is None and len(mine) >= MAX_DEVICES:
                raise TooManyDevices(person)
            writes = [
                self._person(environment, person, (*_without(mine, device.id), registered), version),
                self._held(environment, device.id, person, holder),
            ]
            if holder not in (None, person):
                theirs, seen = await self._read(environment, holder or "")
                writes.append(self._person(environment, holder or "", _without(theirs, device.id), seen))
            if await self._dynamo.transact(writes, secrets.token_hex(16)):
                return registered
            await _a_moment(tried)
        raise Unavailable("the devices of one person are changed by too many at once")

    async def remove(self, environment: str, person: str, device: str) -> bool:
        """False when it was not theirs. Nobody else's device of that name is touched."""
        for tried in range(_TRIES):
            mine, version = await self._read(environment, person)
            if named(mine, device) is None:
                return False
            gone = {
                "Delete": {
                    "TableName": DEVICES.named(environment),
                    "Key": {"holder": {"S": _row_of(device)}},
                    "ConditionExpression": "attribute_not_exists(holder) OR person = :person",
                    "ExpressionAttributeValues": {":person": {"S": person}},
                }
            }
            writes = [self._person(environment, person, _without(mine, device), version), gone]
            if await self._dynamo.transact(writes, secrets.token_hex(16)):
                return True
            await _a_moment(tried)
        raise Unavailable("the devices of one person are changed by too many at once")

    async def forget(self, environment: str, person: str) -> int:
        """Every device of a person, for good, and that they ever had one; how many there were."""
        count = 0
        for tried in range(_TRIES):
            mine, version = await self._read(environment, person)
            count += sum([await self.remove(environment, person, device.id) for device in mine])
            if mine:
                continue
            empty = {
                "TableName": DEVICES.named(environment),
                "Key": {"holder": {"S": person}},
                "ConditionExpression": "attribute_not_exists(holder) OR version = :seen",
                "ExpressionAttributeValues": {":seen": {"N": str(version)}},
            }
            if await self._dynamo.transact([{"Delete": empty}], secrets.token_hex(16)):
                return count
            await _a_moment(tried)
        raise Unavailable("the devices of one person are changed by too many at once")

    async def worked(self, environment: str, person: str, device: str, at: datetime) -> None:
        """Notes that a push reached its service. Whoever is faster is right as well: then nothing is noted."""
        mine, version = await self._read(environment, person)
        found = named(mine, device)
        if found is not None:
            noted = found.model_copy(update={"last_ok_at": at})
            rows = tuple(noted if each.id == device else each for each in mine)
            await self._dynamo.transact([self._person(environment, person, rows, version)], secrets.token_hex(16))

    async def _read(self, environment: str, person: str) -> tuple[tuple[Device, ...], int]:
        row = await self._dynamo.get(DEVICES.named(environment), {"holder": person}) or {}
        return tuple(Device.model_validate(each) for each in row.get("devices", ())), int(row.get("version", 0))

    async def _holder(self, environment: str, device: str) -> str | None:
        row = await self._dynamo.get(DEVICES.named(environment), {"holder": _row_of(device)})
        return str(row["person"]) if row else None

    @staticmethod
    def _person(environment: str, person: str, devices: Sequence[Device], seen: int) -> dict[str, Any]:
        """A person's row as it is to be, upon the one that was read."""
        row: Item = {
            "holder": person,
            "version": seen + 1,
            "devices": [each.model_dump(mode="json", exclude_none=True) for each in devices],
        }
        condition = "version = :seen" if seen else "attribute_not_exists(holder)"
        return Dynamo.put_if(DEVICES.named(environment), row, condition, {":seen": seen} if seen else None)

    @staticmethod
    def _held(environment: str, device: str, person: str, seen: str | None) -> dict[str, Any]:
        condition = "person = :seen" if seen else "attribute_not_exists(holder)"
        row: Item = {"holder": _row_of(device), "person": person}
        return Dynamo.put_if(DEVICES.named(environment), row, condition, {":seen": seen} if seen else None)


def _row_of(device: str) -> str:
    return f"#{device}"  # no person is named like this: names have no number sign


def _without(devices: Sequence[Device], device: str) -> tuple[Device, ...]:
    return tuple(each for each in devices if each.id != device)


def _as_known(device: Device, known: Device | None) -> Device:
    if known is None:
        return device
    kept = {"added_at": known.added_at, "last_ok_at": known.last_ok_at, "label": device.label or known.label}
    return device.model_copy(update=kept)


async def _a_moment(tried: int) -> None:
    await asyncio.sleep(random.uniform(0, _PAUSE_S * (tried + 1)))  # noqa: S311 - somebody else writes: let them
