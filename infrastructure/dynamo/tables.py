"""The tables, one per noun, and their creation. This is the control plane, so it is boto3's."""

import asyncio
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from infrastructure.settings import Settings

EXPIRES = "expires_at_s"
"""Unix seconds after which DynamoDB may delete a row (it may take days: every read must not rely on it)."""


@dataclass(frozen=True)
class Table:
    noun: str
    partition: str
    sort: str | None = None
    local_indexes: tuple[tuple[str, str, str], ...] = ()
    sparse_index: tuple[str, str, str] | None = None
    second_index: tuple[str, str, str] | None = None
    third_index: tuple[str, str, str] | None = None
    expires: bool = True

    def named(self, environment: str) -> str:
        return f"{environment}-{self.noun}"

    @property
    def indexes(self) -> tuple[tuple[str, str, str], ...]:
        """The global ones, the third one with every row, the others sparse: name, partition, sort."""
        found = (self.sparse_index, self.second_index, self.third_index)
        return tuple(index for index in found if index is not None)

    @property
    def key(self) -> tuple[str, ...]:
        return (self.partition, self.sort) if self.sort else (self.partition,)

    def key_in(self, index: str) -> tuple[str, ...]:
        """What rows are found by in one of the global indexes."""
        return {name: (partition, sort) for name, partition, sort in self.indexes}[index]


NOTIFICATIONS = Table("notifications", "notification_id")
# only rows in trouble carry these attributes; sharded, because a provider that is out fills one state at once
# likewise only what rests says whose it is and until when
# by_person never changes with a row's steps, so it costs one small write per delivery; export and erasure find rows by it
DELIVERIES = Table(
    "deliveries",
    "shard_key",
    "delivery_id",
    sparse_index=("in_trouble", "trouble", "troubled_at"),
    second_index=("resting", "resting_of", "resting_until"),
    third_index=("by_person", "recipient", "shard_key"),
)
INBOX = Table(
    "inbox",
    "person",
    "delivery_id",
    local_indexes=(("by_time", "cursor", "ALL"), ("unread", "unread_cursor", "KEYS_ONLY")),
)
TIMERS = Table("timers", "shard_key", "due", expires=False)
CONTACTS = Table("contacts", "person", expires=False)
# a person's row with their devices, and a device's with its person
DEVICES = Table("devices", "holder", expires=False)
# the partition is topic # shard: a topic of millions is no hot key, and its walk is shared
SUBSCRIPTIONS = Table("subscriptions", "topic", "person", sparse_index=("by_person", "person", "topic"), expires=False)
SCHEDULES = Table("schedules", "owner", "place")
CAPS = Table("caps", "person", "scope")
COLLAPSE = Table("collapse", "collapse_id")
PREFERENCES = Table("preferences", "person", "entry")
# a window's head, panes and events; and for a series of windows, which one is the newest
DIGESTS = Table("digests", "window", "entry")
API_KEYS = Table("api_keys", "key_id", sparse_index=("by_creation", "listed", "created_at"), expires=False)
# a name's versions; and under `#newest` one row per name, which says what counts of it
TYPES = Table("types", "named", "version", expires=False)
TEMPLATES = Table("templates", "named", "version", expires=False)
# what operators did with records in quarantine, by their place there
QUARANTINE = Table("quarantine", "position")
# who was erased and when: the mark that deliver reads, under a name nobody else can make anything of; it stays
ERASURES = Table("erasures", "subject", expires=False)

TABLES = (
    NOTIFICATIONS,
    DELIVERIES,
    INBOX,
    TIMERS,
    CONTACTS,
    DEVICES,
    SUBSCRIPTIONS,
    SCHEDULES,
    CAPS,
    PREFERENCES,
    DIGESTS,
    QUARANTINE,
    API_KEYS,
    COLLAPSE,
    TYPES,
    TEMPLATES,
    ERASURES,
)


async def create_tables(settings: Settings) -> None:
    """Creates what is missing for every environment served; existing tables stay as they are."""
    await asyncio.to_thread(_create_tables, settings)


def _create_tables(settings: Settings) -> None:
    client = boto3.client(
        "dynamodb",
        region_name=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url_dynamodb or None,
        config=Config(connect_timeout=2, read_timeout=10, retries={"mode": "standard", "max_attempts": 5}),
    )
    for environment in settings.environments:
        for table in TABLES:
            _create(client, table, table.named(environment))


def _create(client: Any, table: Table, name: str) -> None:
    try:
        client.create_table(**_definition(table, name))
    except client.exceptions.ResourceInUseException:
        _add_an_index(client, table, name)
        return
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    if table.expires:
        client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES})


def _add_an_index(client: Any, table: Table, name: str) -> None:
    """A table of an older version gets an index it lacks, one at each start; DynamoDB fills it in the background."""
    present = client.describe_table(TableName=name)["Table"].get("GlobalSecondaryIndexes", [])
    known = {index["IndexName"] for index in present}
    missing = [index for index in _sparse_indexes(table) if index["IndexName"] not in known]
    if missing:
        client.update_table(
            TableName=name,
            AttributeDefinitions=_attributes(table),
            GlobalSecondaryIndexUpdates=[{"Create": missing[0]}],
        )


def _definition(table: Table, name: str) -> dict[str, Any]:
    definition: dict[str, Any] = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": _keys(*table.key),
        "AttributeDefinitions": _attributes(table),
    }
    if table.indexes:
        definition["GlobalSecondaryIndexes"] = _sparse_indexes(table)
    if table.local_indexes:
        definition["LocalSecondaryIndexes"] = [
            {"IndexName": index, "KeySchema": _keys(table.partition, sort), "Projection": {"ProjectionType": projection}}
            for index, sort, projection in table.local_indexes
        ]
    return definition


def _attributes(table: Table) -> list[dict[str, str]]:
    names = [
        *table.key,
        *(sort for _, sort, _ in table.local_indexes),
        *(name for index in table.indexes for name in index[1:]),
    ]
    return [{"AttributeName": name, "AttributeType": "S"} for name in dict.fromkeys(names)]


def _sparse_indexes(table: Table) -> list[dict[str, Any]]:
    return [
        {"IndexName": index, "KeySchema": _keys(partition, sort), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        for index, partition, sort in table.indexes
    ]


def _keys(partition: str, sort: str | None = None) -> list[dict[str, str]]:
    keys = [{"AttributeName": partition, "KeyType": "HASH"}]
    return [*keys, {"AttributeName": sort, "KeyType": "RANGE"}] if sort else keys
