"""Which Kafka topics of ours the cluster has, and how much lies in each: read-only, and creating nothing."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from infrastructure.kafka.oldest import Logs
from schemas.outcomes import Unavailable

_AT_MOST_S = 10.0


@dataclass(frozen=True)
class Log:
    """One partition: its first offset, and the one that the next record gets."""

    partition: int
    start: int
    end: int


async def read_logs(parameters: Mapping[str, Any], names: Iterable[str]) -> dict[str, list[Log]]:
    """The partitions of each that is there. Raises `Unavailable` when the cluster does not answer in time."""
    client = AIOKafkaClient(**parameters)
    try:
        async with asyncio.timeout(_AT_MOST_S):
            await client.bootstrap()
            logs = Logs(client)
            await logs.refresh()
            there = {name: found for name in names if (found := logs.partitions_of(name))}
            bounds = await logs.bounds(each for found in there.values() for each in found)
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unavailable(f"Kafka did not answer: {type(error).__name__}") from error
    finally:
        await client.close()
    return {name: [Log(tp.partition, *bounds[tp]) for tp in found if tp in bounds] for name, found in there.items()}
