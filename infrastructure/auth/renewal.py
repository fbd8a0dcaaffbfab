import asyncio
import time

import structlog
from redis.asyncio import Redis

from infrastructure.auth.oauth import OAuthClient, Refused
from infrastructure.auth.sessions import Session, SessionStore, session_key
from infrastructure.redis.client import redis_or_unavailable
from schemas.outcomes import Unavailable

log = structlog.get_logger()

# The lock outlives the longest renewal, so whoever deletes it deletes his own.
RENEWAL_TIMEOUT_S = 10.0
LOCK_S = 30
LOOK_AGAIN_S = 0.05


class LiveSessions:
    """Sessions as requests see them: renewed with the refresh token while in use, by one request at a time.

    A refresh token is good for one use where the provider rotates it; using it twice ends the session for good
    (RFC 9700 section 4.14), so everything here is about using it once.
    """

    def __init__(self, store: SessionStore, oauth: OAuthClient, redis: Redis) -> None:
        self._store, self._oauth, self._redis = store, oauth, redis
        self._renewals: dict[str, asyncio.Task[Session | None]] = {}

    async def create(self, session: Session) -> str:
        """Stores a session and returns the cookie value that opens it."""
        return await self._store.create(session)

    async def end(self, cookie: str) -> Session | None:
        """The session as it was, gone from now on; a renewal that is under way does not bring it back."""
        session = await self._store.read(cookie)
        await self._store.delete(cookie)
        return session

    async def read(self, cookie: str) -> Session | None:
        """The session of a cookie, renewed if it is due; None if it has ended here or at the provider."""
        session = await self._store.read(cookie)
        if session is None or not session.refresh_token or self._store.clock() < session.renew_at:
            return session if session and self._usable(session) else None
        try:
            return await self._renewed(session_key(cookie))
        except (Unavailable, TimeoutError) as error:
            if self._usable(session):
                return session  # the provider is away, the tokens are still good
            raise Unavailable("the session could not be renewed") from error

    def _usable(self, session: Session) -> bool:
        return self._store.clock() < session.access_expires_at

    async def _renewed(self, key: str) -> Session | None:
        task = self._renewals.get(key)
        if task is None:
            task = asyncio.create_task(self._renew(key))
            self._renewals[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        # a browser that hangs up must not cut a renewal between the provider's answer and our note of it
        return await asyncio.shield(task)

    def _forget(self, key: str, done: asyncio.Task[Session | None]) -> None:
        self._renewals.pop(key, None)
        if not done.cancelled() and done.exception():
            log.warning("session.not_renewed", error=type(done.exception()).__name__)

    async def _renew(self, key: str) -> Session | None:
        async with asyncio.timeout(RENEWAL_TIMEOUT_S):
            while not await self._locked(key):
                current = await self._store.read_key(key)
                if current is None or self._store.clock() < current.renew_at or self._usable(current):
                    return current  # ended, renewed by another process, or good enough meanwhile
                await asyncio.sleep(LOOK_AGAIN_S)
            try:
                return await self._renew_alone(key)
            finally:
                with redis_or_unavailable():
                    await self._redis.delete(_lock(key))

    async def _renew_alone(self, key: str) -> Session | None:
        session = await self._store.read_key(key)
        if session is None or self._store.clock() < session.renew_at:
            return session
        try:
            renewed = self._store.with_times(await self._oauth.renew(session))
        except Refused as refusal:
            log.info("session.ended_by_provider", reason=str(refusal))
            await self._store.delete_key(key)
            return None
        return renewed if await self._store.renew(key, renewed) else None

    async def _locked(self, key: str) -> bool:
        with redis_or_unavailable():
            return bool(await self._redis.set(_lock(key), int(time.time()), nx=True, ex=LOCK_S))


def _lock(key: str) -> str:
    return f"{key}:renewing"
