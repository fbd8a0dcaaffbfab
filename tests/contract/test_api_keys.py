"""The table of API keys: read by id, changed only over what was read, listed in the order of creation."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from infrastructure.auth.api_keys import KeyHash
from infrastructure.auth.keyring import Issued, Keyring
from infrastructure.dynamo.api_keys import ChangedMeanwhile
from schemas.api_keys import NewKey
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
Unique = Callable[[str], str]


def a_ring(shelves: Shelves) -> Keyring:
    return Keyring(shelves.api_keys, KeyHash("server"))


async def a_key(shelves: Shelves, name: str, at: datetime = NOON) -> Issued:
    return await a_ring(shelves).create(
        NewKey(name=name, producer="orders", expires_at=NOON.replace(year=2030)), "dev", "olga", at
    )


async def test_a_key_comes_back_as_it_was_written(shelves: Shelves, unique: Unique) -> None:
    issued = await a_key(shelves, unique("orders"))
    assert await shelves.api_keys.get(issued.key.key_id) == issued.key
    rotated = await a_ring(shelves).rotate(issued.key.key_id, timedelta(hours=1), "olga", NOON)
    assert await shelves.api_keys.get(issued.key.key_id) == rotated.key
    assert [secret.until for secret in rotated.key.secrets] == [NOON + timedelta(hours=1), None]


async def test_nobody_writes_over_a_change_they_have_not_seen(shelves: Shelves, unique: Unique) -> None:
    read = (await a_key(shelves, unique("orders"))).key
    await shelves.api_keys.change(read.model_copy(update={"revoked_at": NOON}))
    with pytest.raises(ChangedMeanwhile):
        await shelves.api_keys.change(read.model_copy(update={"name": "revived"}))
    found = await shelves.api_keys.get(read.key_id)
    assert found
    assert (found.revoked_at, found.name) == (NOON, read.name)


async def test_a_use_is_noted_beside_a_change_and_undoes_none(shelves: Shelves, unique: Unique) -> None:
    read = (await a_key(shelves, unique("orders"))).key
    await shelves.api_keys.change(read.model_copy(update={"revoked_at": NOON}))
    await shelves.api_keys.note_use(read, NOON)
    await shelves.api_keys.note_use(read, NOON + timedelta(hours=2))  # it has not seen the first note
    found = await shelves.api_keys.get(read.key_id)
    assert found
    assert (found.last_used_at, found.revoked_at) == (NOON, NOON)
    await shelves.api_keys.note_use(found, NOON + timedelta(hours=2))
    later = await shelves.api_keys.get(read.key_id)
    assert later
    assert later.last_used_at == NOON + timedelta(hours=2)


async def test_keys_are_listed_the_oldest_first(shelves: Shelves, unique: Unique) -> None:
    names = [unique("orders") for _ in range(3)]
    for minutes, name in ((2, names[1]), (1, names[0]), (3, names[2])):
        await a_key(shelves, name, NOON + timedelta(minutes=minutes))
    listed = [key.name for key in await shelves.api_keys.all_of("dev") if key.name in names]
    assert listed == names


async def test_of_two_rotations_at_once_none_is_lost(racing_shelves: Shelves, unique: Unique) -> None:
    key_id = (await a_key(racing_shelves, unique("orders"))).key.key_id
    rings = [a_ring(racing_shelves).rotate(key_id, timedelta(hours=1), "olga", NOON) for _ in range(2)]
    first, second = await asyncio.gather(*rings)
    found = await racing_shelves.api_keys.get(key_id)
    assert found
    assert {secret.hash for secret in found.secrets} == {first.key.secrets[-1].hash, second.key.secrets[-1].hash}
