"""Wake-ups over Redis pub/sub: they carry ids at most, may be lost, and whoever wakes reads the store."""

from collections.abc import Sequence

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infrastructure.redis.wakeups import CHANGED
from schemas.live import ItemChange

log = structlog.get_logger()

ERASED = "erased:"


def inbox_channel(environment: str, person: str) -> str:
    return f"carillon:{environment}:inbox:{person}"


def outcome_channel(environment: str, notification_id: str) -> str:
    return f"carillon:{environment}:outcome:{notification_id}"


def verdict_channel(environment: str, change_id: str) -> str:
    return f"carillon:{environment}:verdict:{change_id}"


class Announcer:
    """Says that something changed. A lost wake-up costs seconds, never an item, so an error here is only logged."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def inbox_changed(self, environment: str, person: str) -> None:
        await self._publish(inbox_channel(environment, person), CHANGED)

    async def read(self, environment: str, person: str, ids: Sequence[str]) -> None:
        await self.changed(environment, person, "read", ids)

    async def recalled(self, environment: str, person: str, item_id: str) -> None:
        await self.changed(environment, person, "recalled", (item_id,))

    async def changed(self, environment: str, person: str, change: ItemChange, ids: Sequence[str]) -> None:
        """Read, archived, deleted on one device, or recalled by their sender: whoever shows them learns which."""
        await self._publish(inbox_channel(environment, person), f"{change}:{','.join(ids)}")

    async def erased(self, environment: str, person: str) -> None:
        """Nothing of what their devices show is there any more."""
        await self._publish(inbox_channel(environment, person), ERASED)

    async def outcome_known(self, environment: str, notification_id: str) -> None:
        await self._publish(outcome_channel(environment, notification_id), CHANGED)

    async def verdict_known(self, environment: str, change_id: str) -> None:
        """A change of preferences has been judged."""
        await self._publish(verdict_channel(environment, change_id), CHANGED)

    async def _publish(self, channel: str, message: str) -> None:
        try:
            await self._redis.publish(channel, message)
        except (RedisError, OSError) as error:
            log.warning("wakeup.not_sent", error=type(error).__name__)
