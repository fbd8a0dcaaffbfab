"""What the platform is made of, for operators: consumer groups, Kafka topics, Redis streams, providers."""

from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path

from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.problems import Problem
from api.replays import CAN_LOOK
from api.routes.ops import MayLook, Watch
from infrastructure.kafka.connection import connection
from infrastructure.kafka.inventory import Log, read_logs
from infrastructure.redis.clearing import stream_status
from infrastructure.redis.provider_board import ProviderBoard
from schemas import topics
from schemas.lag import GroupLag
from schemas.legacy import LOW_STOCK_STREAM
from schemas.providers import worst
from schemas.requests import CHANNELS
from schemas.topics import KafkaTopic

router = APIRouter(prefix="/api/v1/ops", tags=["operators"])

GroupName = Annotated[str, Path(max_length=255, examples=["dev.route"])]


@router.get("/groups", operation_id="listGroups")
async def groups(watch: Watch, caller: MayLook) -> dict[str, Any]:
    """Every consumer group with its state, its lag and its members; the partitions are in the group's own answer.

    An API key sees the groups of its own environment.
    """
    own = f"{caller.environment}." if caller.environment else ""
    found = [_without_partitions(one) for one in watch.report if one.group.startswith(own)]
    return ok(found, meta={"sampled_at": watch.sampled_at, "trouble": watch.trouble})


@router.get("/groups/{group}", operation_id="getGroup")
async def one_group(group: GroupName, watch: Watch, caller: MayLook) -> dict[str, Any]:
    """One group, partition by partition: start, committed, end, owner, status and the rule behind it."""
    own = f"{caller.environment}." if caller.environment else ""
    for one in watch.report:
        if one.group == group and one.group.startswith(own):
            partitions = [each.model_dump(mode="json", exclude={"samples"}) for each in one.partitions]
            return ok(_without_partitions(one) | {"partitions": partitions})
    raise Problem(404, "Not found", "No consumer group of this name has been seen.")


def _without_partitions(one: GroupLag) -> dict[str, Any]:
    return one.model_dump(mode="json", exclude={"partitions"}) | {"partitions_total": len(one.partitions)}


@router.get("/topics", operation_id="listKafkaTopics", dependencies=[CAN_LOOK])
async def kafka_topics(house: House, environment: InEnvironment) -> dict[str, Any]:
    """The Kafka topics of an environment: what each is keyed by, and what lies in it. `exists` is false for a missing one,
    which `/readyz` complains about, too."""
    wanted = topics.registry(environment, CHANNELS)
    found = await read_logs(connection(house.settings), [topic.name for topic in wanted])
    return ok([_topic(topic, found.get(topic.name)) for topic in wanted])


def _topic(topic: KafkaTopic, logs: list[Log] | None) -> dict[str, Any]:
    return {
        "name": topic.name,
        "key": topic.key,
        "retention_ms": topic.retention_ms,
        "exists": logs is not None,
        "records": sum(log.end - log.start for log in logs or ()),
        "partitions": [asdict(log) for log in logs or ()],
    }


@router.get("/streams", operation_id="listStreams", dependencies=[CAN_LOOK])
async def streams(house: House, environment: InEnvironment) -> dict[str, Any]:
    """The Redis streams that the bridge carries into Kafka: how many entries lie there, and how many of those it has read
    wait for Kafka's acknowledgement."""
    is_default = environment == house.settings.default_environment
    names = (f"notifications:{environment}", *((LOW_STOCK_STREAM,) if is_default else ()))
    return ok([asdict(await stream_status(house.redis, name)) for name in names])


@router.get("/providers", operation_id="listProviders", dependencies=[CAN_LOOK])
async def providers(house: House, environment: InEnvironment) -> dict[str, Any]:
    """How the workers see the providers they call: `in`, `out` (left alone after failures in a row) or `probing`, and how
    many destinations asked for a pause. Each worker finds out by itself; one that has been silent for 20 s is not listed, so
    an empty list means that no worker is there to tell."""
    told = await ProviderBoard(house.redis).read(environment, datetime.now(UTC))
    seen: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for one in told:
        for each in one.seen:
            said = each.model_dump(mode="json", exclude={"provider"})
            seen[one.channel, each.provider].append({"worker": one.worker, "at": one.at, **said})
    return ok(
        [
            {"channel": channel, "provider": name, "state": worst(each["state"] for each in workers), "workers": workers}
            for (channel, name), workers in sorted(seen.items())
        ]
    )
