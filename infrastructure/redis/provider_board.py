"""How the workers see their providers, written where operators can read it. What is not told again is soon forgotten."""

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from infrastructure.redis.client import redis_or_unavailable
from schemas.providers import ProviderSeen, Told

TOLD_EVERY_S = 5.0
BELIEVED_FOR = timedelta(seconds=20)
_KEPT_S = 3600


class ProviderBoard:
    """Raises `Unavailable` while Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def tell(self, environment: str, channel: str, worker: str, seen: tuple[ProviderSeen, ...]) -> None:
        told = Told(channel=channel, worker=worker, at=datetime.now(UTC), seen=seen)
        with redis_or_unavailable():
            await self._redis.hset(_key(environment), f"{channel}/{worker}", told.model_dump_json())
            await self._redis.expire(_key(environment), _KEPT_S)

    async def forget(self, environment: str, channel: str, worker: str) -> None:
        with redis_or_unavailable():
            await self._redis.hdel(_key(environment), f"{channel}/{worker}")

    async def read(self, environment: str, now: datetime) -> list[Told]:
        """What was said lately; a worker that fell silent may be dead, and is not believed. Its row is cleared away."""
        with redis_or_unavailable():
            rows = await self._redis.hgetall(_key(environment))
            told = {name: Told.model_validate_json(row) for name, row in rows.items()}
            silent = [name for name, each in told.items() if now - each.at > BELIEVED_FOR]
            if silent:
                await self._redis.hdel(_key(environment), *silent)
        return sorted(
            (each for name, each in told.items() if name not in silent), key=lambda each: (each.channel, each.worker)
        )


def _key(environment: str) -> str:
    return f"carillon:{environment}:providers"
