"""Making, rotating and revoking API keys: for the HTTP routes and the command line alike."""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from infrastructure.auth.api_keys import KeyHash
from infrastructure.dynamo.api_keys import ChangedMeanwhile
from infrastructure.settings import Settings
from schemas.api_keys import ApiKey, NewKey, SecretOfKey, rotated
from schemas.outcomes import Unavailable
from schemas.topics import Environment

log = structlog.get_logger()

_TRIES = 5


class UnknownApiKey(LookupError):
    """No key has this id."""


class KeyIsOver(Exception):
    """The key was revoked or has expired: there is nothing left to rotate."""


class KeyTable(Protocol):
    async def get(self, key_id: str) -> ApiKey | None: ...
    async def add(self, key: ApiKey) -> None: ...
    async def change(self, changed: ApiKey) -> ApiKey: ...
    async def all_of(self, environment: str) -> list[ApiKey]: ...


@dataclass(frozen=True)
class Issued:
    """A key with the one sight of its secret."""

    key: ApiKey
    presented: str

    def __repr__(self) -> str:
        return f"Issued({self.key.key_id})"  # a traceback or a log line must not show the secret


def key_hash(settings: Settings) -> KeyHash:
    return KeyHash(settings.app_secret_key.get_secret_value(), settings.app_secret_key_previous.get_secret_value())


class Keyring:
    def __init__(self, table: KeyTable, hashing: KeyHash) -> None:
        self._table, self._hash = table, hashing

    async def create(self, wanted: NewKey, environment: Environment, by: str, now: datetime) -> Issued:
        key_id, secret = environment + _random_text(10), _random_text(32)
        key = ApiKey(
            key_id=key_id,
            environment=environment,
            producer=wanted.producer,
            name=wanted.name,
            permissions=tuple(sorted(set(wanted.permissions))),
            limit_per_minute=wanted.limit_per_minute,
            secrets=(SecretOfKey(hash=self._hash.of(key_id, secret), created_at=now),),
            created_at=now,
            created_by=by,
            expires_at=wanted.expires_at,
        )
        await self._table.add(key)
        log.info("key.created", key=key_id, by=by, producer=key.producer, permissions=key.permissions)
        return Issued(key, f"crl_{key_id}_{secret}")

    async def rotate(self, key_id: str, overlap: timedelta, by: str, now: datetime) -> Issued:
        """A new secret; the one before counts until the overlap ends. Raises `UnknownApiKey` or `KeyIsOver`."""
        secret = _random_text(32)
        for _ in range(_TRIES):
            key = await self.one(key_id)
            if not key.counts_at(now):
                raise KeyIsOver(key_id)
            try:
                changed = await self._table.change(rotated(key, self._hash.of(key_id, secret), overlap, now))
            except ChangedMeanwhile:
                continue
            log.info("key.rotated", key=key_id, by=by, overlap_s=overlap.total_seconds())
            return Issued(changed, f"crl_{key_id}_{secret}")
        raise Unavailable("this key is being changed by too many at once")

    async def revoke(self, key_id: str, by: str, now: datetime) -> ApiKey:
        """For good; a second time changes nothing. Raises `UnknownApiKey`."""
        for _ in range(_TRIES):
            key = await self.one(key_id)
            if key.revoked_at is not None:
                return key
            try:
                changed = await self._table.change(key.model_copy(update={"revoked_at": now}))
            except ChangedMeanwhile:
                continue
            log.info("key.revoked", key=key_id, by=by)
            return changed
        raise Unavailable("this key is being changed by too many at once")

    async def one(self, key_id: str) -> ApiKey:
        key = await self._table.get(key_id)
        if key is None:
            raise UnknownApiKey(key_id)
        return key

    async def all_of(self, environment: Environment) -> list[ApiKey]:
        return await self._table.all_of(environment)


def _random_text(size: int) -> str:
    """Random bytes in lower-case base32: no character that a shell, a URL or a double click would stumble over."""
    return base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()
