"""Reads the lag of any group of any cluster. Joins no group, commits nothing, creates nothing: safe on production."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from infrastructure.kafka.oldest import Logs, Oldest
from schemas.lag import Sample
from schemas.outcomes import Unavailable

_REQUEST_TIMEOUT_MS = 10_000
_PASS_TIMEOUT_S = 30.0
_OFFSETS_IN_KAFKA = {"consumer", "streams", ""}  # Connect and share groups keep none this API can read
_NEW_PROTOCOL_STATE = "Dead"  # how a classic describe answers for a KIP-848 group that is alive


@dataclass(frozen=True)
class Reading:
    topic: str
    partition: int
    owner: str | None
    sample: Sample


@dataclass(frozen=True)
class GroupReading:
    """One look at a group; `abandoned` only when the coordinator itself says that there are no members."""

    group: str
    state: str
    members: tuple[str, ...]
    partitions: tuple[Reading, ...]

    @property
    def abandoned(self) -> bool:
        return self.state == "Empty"


@dataclass(frozen=True)
class _Description:
    state: str
    owners: dict[TopicPartition, str]
    members: tuple[str, ...]
    committed: dict[TopicPartition, int]


class LagReader:
    """Raises `Unavailable` when the cluster does not answer in time."""

    def __init__(
        self, admin: AIOKafkaAdminClient, client: AIOKafkaClient, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._admin = admin
        self._logs = Logs(client)
        self._clock = clock

    async def read(self, names: Iterable[str] = ()) -> list[GroupReading]:
        """The named groups (`dev.*` names a prefix), or all; a name nobody has ever used is left out."""
        try:
            async with asyncio.timeout(_PASS_TIMEOUT_S):
                return await self._read(tuple(names))
        except (KafkaError, TimeoutError, OSError) as error:
            raise Unavailable(f"Kafka did not answer: {type(error).__name__}") from error

    async def _read(self, names: tuple[str, ...]) -> list[GroupReading]:
        await self._logs.refresh()
        groups = await self._descriptions(names)
        # committed offsets first, ends after them: an end read earlier could lie below a newer commit
        wanted = {tp for group in groups.values() for tp in (*group.committed, *group.owners)}
        bounds = await self._logs.bounds(wanted)
        oldest = await self._oldest(groups, bounds)
        now = self._clock()
        return [
            GroupReading(name, group.state, group.members, tuple(_readings(group, bounds, oldest, now)))
            for name, group in sorted(groups.items())
        ]

    async def _descriptions(self, names: tuple[str, ...]) -> dict[str, _Description]:
        """Asks each broker for the groups it coordinates; looking one up by name could create the offsets topic."""
        found: dict[str, _Description] = {}
        for broker in [node["node_id"] for node in (await self._admin.describe_cluster())["brokers"]]:
            listed = await self._admin.list_consumer_groups([broker])
            chosen = [row[0] for row in listed if row[1] in _OFFSETS_IN_KAFKA and _named(row[0], names)]
            descriptions = await asyncio.gather(*(self._description(group, broker) for group in chosen))
            found.update(zip(chosen, descriptions, strict=True))
        return found

    async def _description(self, group: str, broker: int) -> _Description:
        # one group per request: aiokafka 0.14 reads the broker's v3 answer as v2, which goes wrong from the second group on
        [response] = await self._admin.describe_consumer_groups([group], broker)
        [(error, _group, state, _protocol_type, _protocol, members, *_)] = response.groups
        owners = {tp: f"{client}@{host.lstrip('/')}" for _, client, host, _, held in members for tp in _assigned(held)}
        offsets = await self._admin.list_consumer_group_offsets(group, broker)
        return _Description(
            state="Unknown" if error or state == _NEW_PROTOCOL_STATE else state,
            owners=owners,
            members=tuple(sorted({f"{client}@{host.lstrip('/')}" for _, client, host, *_ in members})),
            committed={tp: meta.offset for tp, meta in offsets.items() if meta.offset >= 0},
        )

    async def _oldest(
        self, groups: Mapping[str, _Description], bounds: Mapping[TopicPartition, tuple[int, int]]
    ) -> dict[tuple[TopicPartition, int], Oldest]:
        """Only where there is lag; groups at the same offset share one look."""
        spans: set[tuple[TopicPartition, int]] = set()
        for group in groups.values():
            for tp, committed in group.committed.items():
                start, end = bounds.get(tp, (0, 0))
                if max(committed, start) < end:
                    spans.add((tp, max(committed, start)))
        found: dict[tuple[TopicPartition, int], Oldest] = {}
        while spans:
            turn = dict(spans)  # a fetch asks for a partition once, so two offsets of one partition take two turns
            answers = await self._logs.oldest({tp: (offset, bounds[tp][1]) for tp, offset in turn.items()})
            found.update({(tp, turn[tp]): oldest for tp, oldest in answers.items()})
            spans -= set(turn.items())
        return found


def _readings(
    group: _Description,
    bounds: Mapping[TopicPartition, tuple[int, int]],
    oldest: Mapping[tuple[TopicPartition, int], Oldest],
    now: float,
) -> Iterable[Reading]:
    """One reading per partition the group has committed on or holds now; deleted topics have no bounds and drop out."""
    for tp in sorted({*group.committed, *group.owners} & set(bounds)):
        start, end = bounds[tp]
        committed = group.committed.get(tp)
        waits = oldest.get((tp, max(committed, start)), Oldest()) if committed is not None else Oldest()
        owner = group.owners.get(tp, "unknown" if group.state == "Unknown" else None)
        yield Reading(tp.topic, tp.partition, owner, Sample(now, start, committed, end, waits.at, waits.markers_only))


def _named(group: str, names: tuple[str, ...]) -> bool:
    return not names or any(
        group.startswith(name.removesuffix("*")) if name.endswith("*") else group == name for name in names
    )


def _assigned(assignment: bytes) -> list[TopicPartition]:
    """What a member holds; empty while the group rebalances."""
    if not assignment:
        return []
    try:
        return list(ConsumerProtocol.ASSIGNMENT.decode(assignment).partitions())
    except (ValueError, UnicodeDecodeError):  # another assignor's own format: the lag is right, the owner unknown
        return []


@asynccontextmanager
async def open_lag_reader(parameters: Mapping[str, Any]) -> AsyncIterator[LagReader]:
    """Two connections, both read-only; raises `Unavailable` when no bootstrap server answers."""
    options = {**parameters, "request_timeout_ms": _REQUEST_TIMEOUT_MS}
    admin, client = AIOKafkaAdminClient(**options), AIOKafkaClient(**options)
    try:
        await admin.start()
        await client.bootstrap()
    except (KafkaError, OSError) as error:
        await asyncio.gather(admin.close(), client.close())
        raise Unavailable(f"no bootstrap server answers: {error}") from error
    try:
        yield LagReader(admin, client)
    finally:
        await asyncio.gather(admin.close(), client.close())
