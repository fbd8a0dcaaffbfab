"""The idempotent producer of one process: every send is awaited until all in-sync replicas have it.

aiokafka's defaults (acks=1, idempotence off) are overridden on purpose. Lingering is off: it costs a waiting caller
22 times the throughput (`make bench`) and batches fill themselves under load.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)

from infrastructure.kafka.connection import connection
from infrastructure.ports import Outgoing
from infrastructure.settings import Settings
from schemas.events import Position
from schemas.outcomes import Unavailable

log = structlog.get_logger()

# After these an idempotent producer never sends again (aio-libs/aiokafka#1017): only a new one helps.
_FINAL = (OutOfOrderSequenceNumber, ProducerFenced, ProducerClosed, UnknownProducerId)
_STOP_S = 5.0
_MAX_REQUEST_BYTES = 4 * 1_048_576


class RecordTooLarge(ValueError):
    """The record is larger than its Kafka topic takes."""


class KafkaPublisher:
    """Publishes and waits for the acknowledgement; replaces a producer that died for good."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_s = settings.kafka_produce_timeout_s
        self._producer: AIOKafkaProducer | None = None
        self._replacing = asyncio.Lock()

    async def publish(self, record: Outgoing) -> Position:
        """Raises `Unavailable` without an acknowledgement in time; the record may still land afterwards."""
        producer = self._producer
        if producer is None:
            raise Unavailable("Kafka: the producer is not open")
        headers = [(name, _bytes(value)) for name, value in record.headers.items()]
        key = None if record.key is None else _bytes(record.key)
        try:
            async with asyncio.timeout(self._timeout_s):
                future = await producer.send(record.topic, record.value, key, headers=headers)
                found = await asyncio.shield(future)
        except MessageSizeTooLargeError as error:
            raise RecordTooLarge(f"{len(record.value or b'')} bytes are too many for {record.topic}") from error
        except _FINAL as error:
            await self._replace(producer)
            raise Unavailable(f"Kafka: {type(error).__name__}") from error
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"Kafka: {type(error).__name__}") from error
        return Position(topic=found.topic, partition=found.partition, offset=found.offset)

    async def open(self) -> None:
        producer = AIOKafkaProducer(
            **connection(self._settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=262_144,
            max_request_size=_MAX_REQUEST_BYTES,
            request_timeout_ms=int(self._timeout_s * 1000),
        )
        try:
            await producer.start()
        except KafkaError as error:
            await producer.stop()
            raise Unavailable(f"Kafka at {self._settings.kafka_bootstrap_servers}: {error}") from error
        self._producer = producer

    async def close(self) -> None:
        """Flushes what is under way, at most a few seconds (aio-libs/aiokafka#1101)."""
        producer, self._producer = self._producer, None
        await _stop(producer)

    async def _replace(self, dead: AIOKafkaProducer) -> None:
        async with self._replacing:
            if self._producer is not dead:
                return
            log.warning("kafka.producer.replaced")
            await self.open()
        await _stop(dead)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


async def _stop(producer: AIOKafkaProducer | None) -> None:
    if producer is None:
        return
    try:
        await asyncio.wait_for(producer.stop(), _STOP_S)
    except (KafkaError, TimeoutError) as error:
        log.warning("kafka.producer.stop_failed", error=type(error).__name__)


@asynccontextmanager
async def open_publisher(settings: Settings) -> AsyncIterator[KafkaPublisher]:
    publisher = KafkaPublisher(settings)
    await publisher.open()
    try:
        yield publisher
    finally:
        await publisher.close()
