"""The keys of backends. Their hashes are the only thing here that a thief could want, and it opens nothing."""

import asyncio
from datetime import datetime

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import API_KEYS
from schemas.api_keys import ApiKey, environment_of_key
from schemas.base import iso

_LISTED = "all"  # the index is for people who look at keys; calls read by id


class ChangedMeanwhile(Exception):
    """Somebody else changed the key between reading and writing; nothing was written."""


class ApiKeyStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def get(self, key_id: str) -> ApiKey | None:
        """A consistent read, batched with the others of the moment."""
        found = await self._dynamo.get(_table(key_id), {"key_id": key_id})
        return _key(found) if found else None

    async def add(self, key: ApiKey) -> None:
        row = _row(key) | {"listed": _LISTED, "key_id": key.key_id}
        await self._dynamo.put(_table(key.key_id), row, unless_exists="key_id")

    async def change(self, changed: ApiKey) -> ApiKey:
        """Writes a key that was read; raises `ChangedMeanwhile` when it is no longer the one that was read."""
        try:
            row = await self._dynamo.update(
                _table(changed.key_id),
                {"key_id": changed.key_id},
                {name: value for name, value in _row(changed).items() if name not in ("version", "last_used_at")},
                add={"version": 1},
                condition="#s_version = :seen",
                values={":seen": changed.version},
            )
        except ConditionFailed as failed:
            raise ChangedMeanwhile from failed
        return _key(row)

    async def note_use(self, key: ApiKey, now: datetime) -> None:
        """The first of an hour writes it, whichever process that is."""
        before = iso(key.last_used_at) if key.last_used_at else None
        condition = "#s_last_used_at = :before" if before else "attribute_not_exists(#s_last_used_at)"
        try:
            await self._dynamo.update(
                _table(key.key_id),
                {"key_id": key.key_id},
                {"last_used_at": iso(now)},
                condition=f"attribute_exists(key_id) AND {condition}",
                values={":before": before} if before else None,
            )
        except ConditionFailed:
            return

    async def all_of(self, environment: str) -> list[ApiKey]:
        """Every key there is or was, the oldest first; a key made this moment may be missing from it."""
        rows = await self._dynamo.query(
            API_KEYS.named(environment), "listed = :all", {":all": _LISTED}, index="by_creation", consistent=False
        )
        found = await asyncio.gather(*(self.get(row["key_id"]) for row in rows))
        return [key for key in found if key is not None]


def _table(key_id: str) -> str:
    return API_KEYS.named(environment_of_key(key_id))


def _key(row: Item) -> ApiKey:
    return ApiKey.model_validate({name: value for name, value in row.items() if name != "listed"})


def _row(key: ApiKey) -> Item:
    """Times as text that sorts, so that the index lists in the order of creation."""
    moments = {
        name: iso(moment) if (moment := getattr(key, name)) else None
        for name in ("created_at", "expires_at", "revoked_at", "last_used_at")
    }
    return key.model_dump(mode="json", exclude={"key_id"}) | moments
