"""The devices of people: what the fake says, DynamoDB says too."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from infrastructure.dynamo.devices import TooManyDevices
from schemas.devices import MAX_DEVICES, Device, FcmDevice, device_of
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 12, 2, 12, tzinfo=UTC)
Unique = Callable[[str], str]


def a_phone(token: str, at: datetime = NOON, label: str | None = None) -> Device:
    return device_of(FcmDevice(kind="fcm", token=f"token-{token}", label=label), at)


async def test_a_device_is_kept_and_said_again_keeps_its_first_time(shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    first = await shelves.devices.register("dev", ana, a_phone(ana, label="Phone"))
    again = await shelves.devices.register("dev", ana, a_phone(ana, LATER))
    assert again == first
    assert await shelves.devices.of("dev", ana) == (first,)
    assert await shelves.devices.of("test", ana) == ()


async def test_a_device_belongs_to_whoever_registered_it_last(shelves: Shelves, unique: Unique) -> None:
    ana, ben = unique("ana"), unique("ben")
    await shelves.devices.register("dev", ana, a_phone(ana))
    kept = await shelves.devices.register("dev", ana, a_phone(f"{ana}-2"))
    moved = await shelves.devices.register("dev", ben, a_phone(ana, LATER))
    assert await shelves.devices.of_many("dev", (ana, ben)) == {ana: (kept,), ben: (moved,)}
    assert moved.added_at == LATER
    assert not await shelves.devices.remove("dev", ana, moved.id), "it is Ben's now"
    assert await shelves.devices.of("dev", ben) == (moved,)


async def test_what_is_removed_may_come_again(shelves: Shelves, unique: Unique) -> None:
    ana, phone = unique("ana"), a_phone(unique("token"))
    await shelves.devices.register("dev", ana, phone)
    assert await shelves.devices.remove("dev", ana, phone.id)
    assert not await shelves.devices.remove("dev", ana, phone.id)
    assert await shelves.devices.of("dev", ana) == ()
    await shelves.devices.register("dev", ana, phone)
    await shelves.devices.forget("dev", ana)
    assert await shelves.devices.of("dev", ana) == ()


async def test_nobody_has_more_than_so_many(shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    for number in range(MAX_DEVICES):
        await shelves.devices.register("dev", ana, a_phone(f"{ana}-{number}"))
    with pytest.raises(TooManyDevices):
        await shelves.devices.register("dev", ana, a_phone(f"{ana}-more"))
    await shelves.devices.register("dev", ana, a_phone(f"{ana}-1"))
    assert len(await shelves.devices.of("dev", ana)) == MAX_DEVICES


async def test_that_a_push_arrived_is_noted(shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    phone = await shelves.devices.register("dev", ana, a_phone(ana))
    await shelves.devices.worked("dev", ana, phone.id, LATER)
    await shelves.devices.worked("dev", ana, "dev_unknown", LATER)
    [found] = await shelves.devices.of("dev", ana)
    assert found.last_ok_at == LATER


async def test_whoever_race_for_a_device_it_is_one_persons_in_the_end(racing_shelves: Shelves, unique: Unique) -> None:
    people, phone = [unique("person") for _ in range(8)], a_phone(unique("token"))
    await asyncio.gather(*(racing_shelves.devices.register("dev", each, phone) for each in people))
    found = await racing_shelves.devices.of_many("dev", people)
    assert sum(len(devices) for devices in found.values()) == 1


async def test_devices_registered_at_once_are_all_there(racing_shelves: Shelves, unique: Unique) -> None:
    ana = unique("ana")
    await asyncio.gather(*(racing_shelves.devices.register("dev", ana, a_phone(f"{ana}-{n}")) for n in range(8)))
    assert len(await racing_shelves.devices.of("dev", ana)) == 8
