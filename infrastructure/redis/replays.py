"""What the legacy door remembers: first answers, and which tokens have moved on to v2. All of it may be lost.

A lost answer costs nothing: the request id is derived from the request, so route absorbs the repeat. A lost v2 mark is set
again by that token's next call; until then v1 is as good as it was before.
"""

import json
from typing import Any

import structlog
from redis.asyncio import Redis

from infrastructure.redis.client import redis_or_unavailable
from schemas.outcomes import Unavailable

log = structlog.get_logger()


class Replays:
    def __init__(self, redis: Redis, *, window_s: int) -> None:
        self._redis = redis
        self._keep_s = 2 * window_s  # a signature is good from one window before its time to one after
        self._seen_v2: set[str] = set()
        self._marked: set[str] = set()

    async def first_answer(self, request: str) -> dict[str, Any] | None:
        """What this very request was answered before; nothing when it is new, forgotten, or Redis is away."""
        try:
            with redis_or_unavailable():
                found = await self._redis.get(_answer_key(request))
        except Unavailable:
            log.warning("legacy.replay_cache_away")
            return None
        return None if found is None else dict(json.loads(found))

    async def remember(self, request: str, answer: dict[str, Any]) -> None:
        """Call it after Kafka's acknowledgement, never before: an answer that is remembered is a promise."""
        try:
            with redis_or_unavailable():
                await self._redis.set(_answer_key(request), json.dumps(answer), nx=True, ex=self._keep_s)
        except Unavailable:
            log.warning("legacy.replay_cache_away")

    async def has_moved_to_v2(self, token: str) -> bool:
        """Whether this token has ever signed with v2; this process remembers it even while Redis is away."""
        if token in self._seen_v2:
            return True
        try:
            with redis_or_unavailable():
                return bool(await self._redis.exists(_mark_key(token)))
        except Unavailable:
            log.warning("legacy.replay_cache_away")
            return False

    async def move_to_v2(self, token: str) -> None:
        self._seen_v2.add(token)
        if token in self._marked:
            return
        try:
            with redis_or_unavailable():
                await self._redis.set(_mark_key(token), "1")
        except Unavailable:
            log.warning("legacy.replay_cache_away")
        else:
            self._marked.add(token)


def _answer_key(request: str) -> str:
    return f"carillon:legacy:answer:{request}"


def _mark_key(token: str) -> str:
    return f"carillon:legacy:v2:{token}"
