import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from infrastructure.auth.provider import Provider
from schemas.outcomes import Unavailable

log = structlog.get_logger()

FRESH_S = 600.0
COOL_DOWN_S = 30.0
# how long signatures are believed while the provider cannot be asked whether a key was withdrawn
MAX_AGE_S = 24 * 3600.0
MAX_KEYS = 50
MIN_RSA_BITS = 2048


class UnknownKey(Exception):
    """No key of the provider has this id."""


class Jwks:
    """The provider's signing keys (RFC 7517). At most one fetch in 30 s, however many strange key ids arrive."""

    def __init__(self, provider: Provider, clock: Callable[[], float] = time.monotonic) -> None:
        self._provider, self._clock = provider, clock
        self._keys: dict[str, RSAKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def key(self, kid: str | None) -> RSAKey:
        """The key of this id, or the only key for a token that names none. Raises `UnknownKey` or `Unavailable`."""
        found = self._find(kid)
        if found and (self._age() < FRESH_S or self._fetching.locked()):
            return found  # while somebody else fetches, a known key keeps working
        await self._refresh(known=found is not None)
        found = self._find(kid)
        if found:
            return found
        if self._age() > MAX_AGE_S:
            raise Unavailable("identity provider: no signing keys")
        raise UnknownKey

    async def _refresh(self, *, known: bool) -> None:
        async with self._fetching:
            cooling = self._clock() - self._tried_at < COOL_DOWN_S
            if cooling or (known and self._age() < FRESH_S):
                return
            self._tried_at = self._clock()  # before the attempt: a failed one cools down too
            try:
                document = await self._provider.document((await self._provider.metadata()).jwks_uri)
                self._keys, self._fetched_at = usable_keys(document), self._clock()
            except Unavailable as error:
                log.warning("jwks.not_fetched", reason=str(error), keys=len(self._keys))

    def _find(self, kid: str | None) -> RSAKey | None:
        if self._age() > MAX_AGE_S:
            return None
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _age(self) -> float:
        return self._clock() - self._fetched_at


def usable_keys(document: Any) -> dict[str, RSAKey]:
    """RSA keys meant for RS256 signatures; what we cannot read or use is skipped (RFC 7517 section 5)."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise Unavailable("identity provider: not a key set")
    found: dict[str, RSAKey] = {}
    for entry in entries:
        key = _signing_key(entry)
        if key is not None:
            found.setdefault(entry["kid"], key)
    return found


def _signing_key(entry: Any) -> RSAKey | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or entry.get("kty") != "RSA":
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
        return None
    if len(str(entry.get("n"))) * 6 < MIN_RSA_BITS:
        return None  # before the import, which warns about a short key each time
    public = {name: entry.get(name) for name in ("kty", "n", "e", "kid")}
    try:
        key = RSAKey.import_key(public)  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError):
        return None
    return key if key.public_key.key_size >= MIN_RSA_BITS else None
