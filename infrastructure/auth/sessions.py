"""Server-side sessions. The browser holds a random value; Redis holds its hash, and under it an encrypted session."""

import hashlib
import math
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import ValidationError
from redis.asyncio import Redis

from infrastructure.auth.box import EncryptedBox, Unreadable
from infrastructure.auth.user import User
from infrastructure.redis.client import redis_or_unavailable
from schemas.base import Record

COOKIE_BYTES = 32  # 256 random bits (ASVS 7.2.3 asks for 128)
MAX_COOKIE_LENGTH = 64


class Session(Record):
    """Who logged in and with what. `access_expires_at` is the provider's word, `renew_at` ours."""

    user: User
    access_token: str
    refresh_token: str = ""
    provider_session: str = ""
    access_expires_at: float
    renew_at: float


class SessionStore:
    """Sessions in Redis for `ttl_s`. Every method raises `Unavailable` while Redis is out of reach."""

    def __init__(self, redis: Redis, box: EncryptedBox, ttl_s: int, clock: Callable[[], float] = time.time) -> None:
        self._redis, self._box, self.ttl_s, self.clock = redis, box, ttl_s, clock

    async def create(self, session: Session) -> str:
        """Stores a session under a fresh id and returns the cookie value that opens it."""
        cookie = secrets.token_urlsafe(COOKIE_BYTES)
        key = session_key(cookie)
        with redis_or_unavailable():
            await self._redis.set(key, self._seal(key, session), ex=self._lifetime(session))
        return cookie

    async def read(self, cookie: str) -> Session | None:
        """The session of a cookie value; None if there is none, or none that we wrote."""
        if not 0 < len(cookie) <= MAX_COOKIE_LENGTH:
            return None
        return await self.read_key(session_key(cookie))

    async def read_key(self, key: str) -> Session | None:
        with redis_or_unavailable():
            sealed = await self._redis.get(key)
        if not isinstance(sealed, bytes):
            return None
        try:
            return Session.model_validate_json(self._box.open(sealed, key.encode()))
        except (Unreadable, ValidationError):
            return None

    async def renew(self, key: str, session: Session) -> bool:
        """Puts new tokens into a session that still exists; False if it was ended meanwhile and stays ended."""
        with redis_or_unavailable():
            written = await self._redis.set(key, self._seal(key, session), ex=self._lifetime(session), xx=True)
        return bool(written)

    async def delete(self, cookie: str) -> None:
        await self.delete_key(session_key(cookie))

    async def delete_key(self, key: str) -> None:
        with redis_or_unavailable():
            await self._redis.delete(key)

    def with_times(self, session: Session) -> Session:
        """The session with its end and its renewal as of now: renewed in the second half of its shorter life."""
        now = self.clock()
        lives_s = min(self.ttl_s, session.access_expires_at - now)
        ends_at = now + (self.ttl_s if session.refresh_token else lives_s)
        user = session.user.model_copy(update={"expires_at": datetime.fromtimestamp(ends_at, UTC)})
        return session.model_copy(update={"user": user, "renew_at": now + lives_s / 2})

    def _seal(self, key: str, session: Session) -> bytes:
        return self._box.seal(session.model_dump_json().encode(), key.encode())

    def _lifetime(self, session: Session) -> int:
        return max(1, math.ceil(session.user.expires_at.timestamp() - self.clock()))


def session_key(cookie: str) -> str:
    """The Redis key of a cookie value: whoever reads Redis learns no cookie from it."""
    return "carillon:session:" + hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
