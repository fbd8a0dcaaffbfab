"""Who presents an API key. Known keys are remembered for a moment, so that a call costs no read and an outage no caller."""

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from infrastructure.auth.user import FAR_FUTURE_S, User
from infrastructure.dynamo.api_keys import ChangedMeanwhile
from schemas.api_keys import ApiKey, SecretOfKey, environment_of_key, read_key
from schemas.outcomes import Unavailable
from schemas.topics import Environment

log = structlog.get_logger()

FRESH = timedelta(seconds=25)
"""With the time a read may take, a revoked key is refused everywhere 30 s later."""
BELIEVED = timedelta(minutes=15)
"""How long a key that was good is believed while the table cannot be read."""
ASK_AGAIN = timedelta(seconds=5)
READ_S, WRITE_S = 2.0, 0.5
REMEMBERED_KEYS = 10_000

_NO_SECRET = "a" * 52
_DECOYS = (SecretOfKey(hash="0" * 64, created_at=datetime(1970, 1, 1, tzinfo=UTC)),)


class InvalidKey(Exception):
    """Not a key to act upon. The reason is for our log; callers hear only that it is invalid."""


class Keys(Protocol):
    async def get(self, key_id: str) -> ApiKey | None: ...
    async def change(self, changed: ApiKey) -> ApiKey: ...
    async def note_use(self, key: ApiKey, now: datetime) -> None: ...


class KeyHash:
    """HMAC-SHA256 under APP_SECRET_KEY, bound to the key's id: a copied table opens nothing, a hash fits one row."""

    def __init__(self, *server_secrets: str) -> None:
        self._server_keys = [secret.encode() for secret in server_secrets if secret]

    def of(self, key_id: str, secret: str) -> str:
        """Under the server's current key."""
        return self._under(self._server_keys[0], key_id, secret)

    def find(self, key_id: str, secret: str, kept: Sequence[SecretOfKey]) -> SecretOfKey | None:
        """The kept secret that this one is; compared with all of them, under every server key, to the end (CWE-208)."""
        found = None
        for server_key in self._server_keys:
            presented = self._under(server_key, key_id, secret)
            for each in kept:
                found = each if hmac.compare_digest(presented, each.hash) else found
        return found

    @staticmethod
    def _under(server_key: bytes, key_id: str, secret: str) -> str:
        return hmac.new(server_key, f"carillon-api-key-v1.{key_id}.{secret}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class _Known:
    key: ApiKey
    secret: SecretOfKey
    read_at: datetime
    asked_at: datetime

    def is_fresh(self, now: datetime) -> bool:
        """Also false when the clock was set back: then nobody knows how old it is."""
        return timedelta(0) <= now - self.read_at < FRESH or timedelta(0) <= now - self.asked_at < ASK_AGAIN

    def is_believed(self, now: datetime) -> bool:
        return timedelta(0) <= now - self.read_at < BELIEVED


class KeyVerifier:
    def __init__(
        self,
        keys: Keys,
        key_hash: KeyHash,
        environments: tuple[Environment, ...],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys, self._hash, self._environments, self._clock = keys, key_hash, environments, clock
        self._remembered: OrderedDict[bytes, _Known] = OrderedDict()

    async def verify(self, presented: str) -> User:
        """Whose key this is. Raises `InvalidKey`, whatever is wrong with it, or `Unavailable` if it cannot be read."""
        now = self._clock()
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
        known = self._remembered.get(digest)
        if known is None or not known.is_fresh(now):
            known = await self._look(digest, presented, known)
        self._remembered.move_to_end(digest)
        if not known.key.counts_at(now) or not known.secret.counts_at(now):
            raise InvalidKey(f"{known.key.key_id}: revoked, expired or rotated out")
        return user_of_key(known.key)

    async def _look(self, digest: bytes, presented: str, known: _Known | None) -> _Known:
        now = self._clock()
        try:
            found = await self._read(presented)
        except Unavailable as error:
            if known is None or not known.is_believed(now):
                raise
            log.warning("key.believed", key=known.key.key_id, reason=str(error))
            found = replace(known, asked_at=now)
        except InvalidKey:
            self._remembered.pop(digest, None)
            raise
        self._remembered[digest] = found
        while len(self._remembered) > REMEMBERED_KEYS:
            self._remembered.popitem(last=False)
        return found

    async def _read(self, presented: str) -> _Known:
        """A malformed or foreign key takes the same way as an unknown one: one read, the same comparisons."""
        named = read_key(presented)
        is_ours = named is not None and environment_of_key(named[0]) in self._environments
        key_id, secret = named if named and is_ours else (f"{self._environments[0]}{'a' * 16}", _NO_SECRET)
        now = self._clock()
        try:
            async with asyncio.timeout(READ_S):
                key = await self._keys.get(key_id)
        except TimeoutError as error:
            raise Unavailable("API keys cannot be read in time") from error
        matched = self._hash.find(key_id, secret, key.secrets if key else _DECOYS)
        if key is None or matched is None or not is_ours:
            raise InvalidKey(f"{key_id}: unknown" if is_ours else "no key of this deployment")
        if key.counts_at(now) and matched.counts_at(now):
            await self._keep_up(key, matched, secret, now)
        return _Known(key, matched, read_at=now, asked_at=now - ASK_AGAIN)

    async def _keep_up(self, key: ApiKey, matched: SecretOfKey, secret: str, now: datetime) -> None:
        """The date of use, and after a rotation of APP_SECRET_KEY a hash under the new one; neither holds up a call."""
        with suppress(Unavailable, TimeoutError, ChangedMeanwhile):
            async with asyncio.timeout(WRITE_S):
                if key.use_is_news(now):
                    await self._keys.note_use(key, now)
                current = self._hash.of(key.key_id, secret)
                if current != matched.hash:
                    renewed = matched.model_copy(update={"hash": current})
                    secrets = tuple(renewed if each == matched else each for each in key.secrets)
                    await self._keys.change(key.model_copy(update={"secrets": secrets}))


def user_of_key(key: ApiKey) -> User:
    """The caller a key stands for: a machine with the key's producer name, bound to the key's environment."""
    return User(
        id=f"key:{key.key_id}",
        sub=f"key:{key.key_id}",
        issuer="carillon",
        kind="machine",
        permissions=frozenset(key.permissions),
        name=key.name,
        expires_at=key.expires_at or datetime.fromtimestamp(FAR_FUTURE_S, UTC),
        producer=key.producer,
        environment=key.environment,
        limit_per_minute=key.limit_per_minute,
    )
