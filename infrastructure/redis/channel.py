"""A Redis pub/sub channel. It forgets: what is said while nobody listens is gone (at most once)."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from infrastructure.redis.client import redis_or_unavailable
from infrastructure.redis.streams import text
from schemas.outcomes import Unavailable

QUIET_S = 1.0
AGREED_MS = 5_000  # longer than two listeners can lie apart, shorter than two alerts that are meant to be two


class Subscription:
    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub

    async def next(self) -> bytes | None:
        """The next message; nothing after a quiet second."""
        with redis_or_unavailable():
            found: Any = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=QUIET_S)
        if found is None:
            return None
        said: bytes = found["data"]
        return said


@asynccontextmanager
async def subscribed(redis: Redis, channel: str) -> AsyncIterator[Subscription]:
    """Listens from here on, on a connection of its own."""
    pubsub = redis.pubsub()
    try:
        with redis_or_unavailable():
            await pubsub.subscribe(channel)
        yield Subscription(pubsub)
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]


async def agreed_id(redis: Redis, environment: str, payload: bytes, proposal: str) -> str:
    """One request id for a message without its own, the same in every process that heard it.

    Equal messages within five seconds count as one. Without Redis it is the proposal alone.
    """
    key = f"carillon:{environment}:low-stock:{hashlib.sha256(payload).hexdigest()}"
    try:
        with redis_or_unavailable():
            earlier = await redis.set(key, proposal, nx=True, get=True, px=AGREED_MS)
    except Unavailable:
        return proposal
    return proposal if earlier is None else text(earlier)
