"""The idempotency fast path: what was answered to a request id. Truth is the notification's row; this may be lost."""

import asyncio
import json
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis

from infrastructure.redis.client import redis_or_unavailable
from schemas.events import Position
from schemas.outcomes import Unavailable

log = structlog.get_logger()

_AT_MOST_S = 0.5  # a Redis that hangs must not hold up a request that does not need it


@dataclass(frozen=True)
class Seen:
    """The first answer to a request id."""

    producer: str
    request_id: str
    body_hash: str
    position: Position


class SeenRequests:
    """Set after Kafka's acknowledgement, never before; without Redis it simply knows nothing."""

    def __init__(self, redis: Redis, ttl_s: int) -> None:
        self._redis = redis
        self._ttl_s = ttl_s

    async def get(self, environment: str, notification_id: str) -> Seen | None:
        try:
            async with asyncio.timeout(_AT_MOST_S):
                with redis_or_unavailable():
                    found = await self._redis.get(_key(environment, notification_id))
        except (Unavailable, TimeoutError) as error:
            log.warning("seen.not_read", reason=repr(error))
            return None
        if found is None:
            return None
        fields = json.loads(found)
        return Seen(**fields | {"position": Position.model_validate(fields["position"])})

    async def remember(self, environment: str, notification_id: str, seen: Seen) -> None:
        """The first one stays; failing to remember costs a repeat a trip through Kafka, nothing more."""
        value = json.dumps(
            {
                "producer": seen.producer,
                "request_id": seen.request_id,
                "body_hash": seen.body_hash,
                "position": seen.position.model_dump(),
            }
        )
        try:
            async with asyncio.timeout(_AT_MOST_S):
                with redis_or_unavailable():
                    await self._redis.set(_key(environment, notification_id), value, ex=self._ttl_s, nx=True)
        except (Unavailable, TimeoutError) as error:
            log.warning("seen.not_remembered", reason=repr(error))


def _key(environment: str, notification_id: str) -> str:
    return f"carillon:{environment}:seen:{notification_id}"
