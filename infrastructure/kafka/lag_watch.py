"""Looks at the lag again and again, so that the latest report is there at once and a trend can be told."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol

import structlog

from infrastructure.kafka.lag import GroupReading, open_lag_reader
from infrastructure.metrics import CONSUMER_LAG, CONSUMER_LAG_SECONDS
from schemas.lag import SAMPLES_KEPT, GroupLag, Sample, group_lag, partition_lag
from schemas.outcomes import Unavailable

log = structlog.get_logger()

HistoryPoint = tuple[float, int | None, float | None]
_PartitionKey = tuple[str, str, int]


class Reader(Protocol):
    async def read(self, names: Sequence[str] = ()) -> list[GroupReading]: ...


OpenReader = Callable[[], AbstractAsyncContextManager[Reader]]


class LagWatch:
    """The last samples of every partition in memory. Kafka being away is part of the report, never an exception."""

    def __init__(self, open_reader: OpenReader, *, groups: Sequence[str] = (), interval_s: float = 5.0) -> None:
        self._open_reader = open_reader
        self._groups = tuple(groups)
        self.interval_s = interval_s
        self._samples: dict[_PartitionKey, deque[Sample]] = {}
        self._history: dict[str, deque[HistoryPoint]] = {}
        self.report: tuple[GroupLag, ...] = ()
        self.sampled_at: float | None = None
        self.trouble: str | None = None

    def history(self, group: str) -> list[HistoryPoint]:
        """[unix seconds, lag, lag_s] per sample, oldest first."""
        return list(self._history.get(group, ()))

    def take(self, readings: Sequence[GroupReading], at: float) -> None:
        """Remembers one look and judges it; what is gone from the cluster is forgotten."""
        samples: dict[_PartitionKey, deque[Sample]] = {}
        history: dict[str, deque[HistoryPoint]] = {}
        report: list[GroupLag] = []
        for reading in readings:
            lag = self._judge(reading, samples)
            points = self._history.get(reading.group) or deque(maxlen=SAMPLES_KEPT)
            points.append((at, lag.lag, lag.lag_s))
            history[reading.group] = points
            report.append(lag)
            CONSUMER_LAG.labels(lag.group).set(math.nan if lag.lag is None else lag.lag)
            CONSUMER_LAG_SECONDS.labels(lag.group).set(math.nan if lag.lag_s is None else lag.lag_s)
        self._samples, self._history, self.report = samples, history, tuple(report)
        self.sampled_at, self.trouble = at, None

    def _judge(self, reading: GroupReading, samples: dict[_PartitionKey, deque[Sample]]) -> GroupLag:
        partitions = []
        for one in reading.partitions:
            key = (reading.group, one.topic, one.partition)
            ring = self._samples.get(key) or deque(maxlen=SAMPLES_KEPT)
            ring.append(one.sample)
            samples[key] = ring
            partitions.append(
                partition_lag(one.topic, one.partition, list(ring), owner=one.owner, abandoned=reading.abandoned)
            )
        return group_lag(reading.group, reading.state, reading.members, partitions)

    async def run(self) -> None:
        """Samples until cancelled; after an outage it connects again and goes on with the samples it has."""
        while True:
            try:
                async with self._open_reader() as reader:
                    await self._sample(reader)
            except Unavailable as error:
                if self.trouble is None:
                    log.warning("lag.unavailable", reason=str(error), next_try_s=self.interval_s)
                self.trouble = str(error)
            except Exception as error:  # pylint: disable=broad-exception-caught
                # a bug must not leave an old report standing as if it were fresh
                log.exception("lag.crashed", next_try_s=self.interval_s)
                self.trouble = f"the lag reader crashed: {type(error).__name__}"
            await asyncio.sleep(self.interval_s)

    async def _sample(self, reader: Reader) -> None:
        while True:
            readings = await reader.read(self._groups)
            self.take(readings, time.time())
            await asyncio.sleep(self.interval_s)


@asynccontextmanager
async def open_lag_watch(
    parameters: Mapping[str, Any], *, groups: Sequence[str] = (), interval_s: float = 5.0
) -> AsyncIterator[LagWatch]:
    """A watch that samples in the background; opens even when Kafka is away."""
    watch = LagWatch(lambda: open_lag_reader(parameters), groups=groups, interval_s=interval_s)
    task = asyncio.create_task(watch.run(), name="lag-watch")
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
