"""The store as it is, read by boto3 and not by the product's own client."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer

from tests.faults.flow import ENVIRONMENT
from tests.faults.ledger_check import Dump

_READ = TypeDeserializer()


async def dump_of(variables: Mapping[str, str], run: str) -> Dump:
    """The rows of one run, known by its name in them; nothing is held against the product's own idea of what there is."""
    return await asyncio.to_thread(_dump, variables, run)


async def rows_of_window(variables: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The events in every window, by the window's id."""
    return await asyncio.to_thread(_rows_of_window, variables)


def _rows_of_window(variables: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(_client(variables), "digests"):
        if row["entry"].startswith("event#"):
            found.setdefault(row["window"], []).append(row)
    return found


def _client(variables: Mapping[str, str]) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=variables["AWS_ENDPOINT_URL_DYNAMODB"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


def _dump(variables: Mapping[str, str], run: str) -> Dump:
    client = _client(variables)
    notifications = [row for row in _rows(client, "notifications") if run in row.get("document", "")]
    ours = {row["notification_id"] for row in notifications}
    return Dump(
        deliveries=tuple(
            row
            for row in _rows(client, "deliveries")
            if run in row["recipient"] or row["shard_key"].rpartition("#")[0] in ours
        ),
        inbox=tuple(row for row in _rows(client, "inbox") if run in row["person"]),
        notifications=tuple(notifications),
    )


def _rows(client: Any, noun: str) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator("scan").paginate(TableName=f"{ENVIRONMENT}-{noun}", ConsistentRead=True):
        for item in page["Items"]:
            yield {name: _READ.deserialize(value) for name, value in item.items()}
