"""The one registry of Kafka topics: names, keys, readers, retention. Creation and readiness are made from it."""

from dataclasses import dataclass
from typing import Literal, get_args

Environment = Literal["dev", "uat", "prod", "test"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)

Priority = Literal["urgent", "normal", "bulk"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class KafkaTopic:
    name: str
    key: str
    retention_ms: int = 7 * DAY_MS
    max_message_bytes: int = 1_048_576


def requests(environment: str, priority: Priority = "normal") -> str:
    """Where every entrance writes. What a type makes urgent or bulk comes by the normal one too."""
    return f"notifications.{environment}.requests" + ("" if priority == "normal" else f".{priority}")


def deliveries(environment: str, channel: str, priority: Priority = "normal") -> str:
    """Where route hands a channel its work; `_` becomes `-`, because Kafka's metrics confuse `_` with `.`."""
    suffix = "" if priority == "normal" else f".{priority}"
    return f"notifications.{environment}.{channel.replace('_', '-')}{suffix}"


def expand(environment: str) -> str:
    """Where route hands over the shards of an audience."""
    return f"notifications.{environment}.expand"


def status(environment: str) -> str:
    return f"notifications.{environment}.status"


def preferences(environment: str) -> str:
    """Commands: what people change. The preferences themselves are in the store alone."""
    return f"notifications.{environment}.preferences"


def digests(environment: str) -> str:
    """Windows whose time has come."""
    return f"notifications.{environment}.digests"


def erasures(environment: str) -> str:
    """Commands: who is to be forgotten. The names in them are encrypted."""
    return f"notifications.{environment}.erasures"


def receipts(environment: str) -> str:
    return f"notifications.{environment}.receipts"


def quarantine(environment: str) -> str:
    return f"notifications.{environment}.quarantine"


def dead_letters(environment: str) -> str:
    return f"notifications.{environment}.dlq"


def priority_of(topic: str) -> Priority:
    """The priority a Kafka topic of ours carries; the one without a suffix is normal."""
    return next((priority for priority in PRIORITIES if topic.endswith(f".{priority}")), "normal")


def environment_of(topic: str) -> str:
    """The environment a Kafka topic of ours belongs to."""
    return topic.split(".", 2)[1]


def group(environment: str, worker: str) -> str:
    """The consumer group of a worker, for example `dev.deliver.in_app`."""
    return f"{environment}.{worker}"


def subscription(environment: str, worker: str) -> tuple[str, ...]:
    """The Kafka topics a worker's group reads."""
    if worker == "route":
        return tuple(requests(environment, priority) for priority in PRIORITIES)
    alone = {"expand": expand, "persist": status, "preferences": preferences, "digest": digests, "erase": erasures}
    if worker in alone:
        return (alone[worker](environment),)
    channel = worker.removeprefix("deliver.")
    return tuple(deliveries(environment, channel, priority) for priority in PRIORITIES)


def registry(environment: str, channels: tuple[str, ...]) -> tuple[KafkaTopic, ...]:
    """Every Kafka topic of one environment."""
    return (
        *(KafkaTopic(requests(environment, priority), "person, else request id") for priority in PRIORITIES),
        KafkaTopic(expand(environment), "notification id # shard"),
        *(
            KafkaTopic(deliveries(environment, channel, priority), "recipient")
            for channel in channels
            for priority in PRIORITIES
        ),
        KafkaTopic(status(environment), "delivery id"),
        KafkaTopic(preferences(environment), "person"),
        KafkaTopic(digests(environment), "window id"),
        KafkaTopic(erasures(environment), "a person's pseudonym"),
        KafkaTopic(receipts(environment), "request id"),
        # a refused record travels with its bytes and its reason, so it may be larger than it was
        KafkaTopic(quarantine(environment), "as it came", max_message_bytes=4 * 1_048_576),
        KafkaTopic(dead_letters(environment), "delivery id"),
    )
