"""A person out of Redis: every session of theirs ends, and what counts their calls goes."""

import structlog
from redis.asyncio import Redis

from infrastructure.auth.box import EncryptedBox
from infrastructure.auth.sessions import SessionStore
from infrastructure.redis.client import redis_or_unavailable
from infrastructure.settings import Settings

log = structlog.get_logger()

_SESSIONS, _LOCK = "carillon:session:*", b":renewing"
_AT_ONCE = 500


class Ending:
    """Whose a session is stands encrypted inside, so all are looked at, page by page: an erasure is rare."""

    def __init__(self, redis: Redis, sessions: SessionStore) -> None:
        self._redis = redis
        self._sessions = sessions

    @classmethod
    def of(cls, settings: Settings, redis: Redis) -> "Ending":
        secrets = (settings.app_secret_key, settings.app_secret_key_previous)
        box = EncryptedBox(*(secret.get_secret_value() for secret in secrets))
        return cls(redis, SessionStore(redis, box, settings.session_ttl_s))

    async def forget(self, person: str) -> int:
        """How many sessions have ended."""
        ended = 0
        with redis_or_unavailable():
            async for key in self._redis.scan_iter(match=_SESSIONS, count=_AT_ONCE):
                ended += await self._end(bytes(key), person)
            await self._redis.delete(f"carillon:limit:person:{person}")
        return ended

    async def _end(self, key: bytes, person: str) -> bool:
        session = None if key.endswith(_LOCK) else await self._sessions.read_key(key.decode())
        if session is None or session.user.id != person:
            return False
        await self._sessions.delete_key(key.decode())
        return True
