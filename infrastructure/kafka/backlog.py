"""How far behind a channel is: the age of what its group has not committed. Looked at rarely, asked often."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import structlog

from infrastructure.kafka.lag_watch import Reader
from schemas import topics
from schemas.outcomes import Unavailable
from schemas.topics import Environment, Priority

log = structlog.get_logger()

_FRESH_S = 2.0
OpenReader = Callable[[], AbstractAsyncContextManager[Reader]]


class LagBacklog:
    """One look serves everybody who asks within two seconds. What cannot be seen holds nobody up."""

    def __init__(self, open_reader: OpenReader, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._open_reader = open_reader
        self._clock = clock
        self._looking = asyncio.Lock()
        self._seen: dict[str, tuple[float, dict[str, float]]] = {}

    async def seconds(self, environment: Environment, channel: str, priority: Priority) -> float:
        group = topics.group(environment, f"deliver.{channel}")
        async with self._looking:
            at, waits = self._seen.get(group, (-_FRESH_S, {}))
            if self._clock() - at >= _FRESH_S:
                waits = await self._look(group)
                self._seen[group] = self._clock(), waits
        return waits.get(topics.deliveries(environment, channel, priority), 0.0)

    async def _look(self, group: str) -> dict[str, float]:
        """By Kafka topic, the age of its oldest record that is not committed."""
        try:
            async with AsyncExitStack() as stack:
                reader = await stack.enter_async_context(self._open_reader())
                readings = await reader.read((group,))
        except Unavailable as error:
            log.warning("backlog.unseen", group=group, reason=str(error))
            return {}
        waits: dict[str, float] = {}
        for reading in (one for each in readings for one in each.partitions):
            if reading.sample.oldest_at is not None:
                age = reading.sample.at - reading.sample.oldest_at
                waits[reading.topic] = max(waits.get(reading.topic, 0.0), age)
        return waits
