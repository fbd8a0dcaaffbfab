"""DynamoDB's wire operations as the stores need them: conditions that hand the item back, and batches that fill themselves.

aiodynamo signs and sends (botocore costs 675 µs of CPU per single write, aiodynamo 118: `make bench`); its public
`send_request` takes `ReturnValuesOnConditionCheckFailure`, which its own put and update do not.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiodynamo.client import Client
from aiodynamo.errors import (
    AIODynamoError,
    ConditionalCheckFailed,
    TransactionCanceled,
    TransactionConflict,
    ValidationException,
)
from aiodynamo.http.aiohttp import AIOHTTP
from aiodynamo.http.types import HttpImplementation, Request, Response
from aiodynamo.models import DecorelatedJitterRetry
from aiodynamo.utils import dy2py, py2dy
from yarl import URL

from infrastructure.dynamo.batches import Batches
from infrastructure.dynamo.credentials import BotocoreCredentials
from infrastructure.metrics import STORE_CALLS
from infrastructure.settings import Settings
from infrastructure.urgency import ReservedPlaces
from schemas.outcomes import Unavailable

Item = dict[str, Any]

_CALLS_AT_ONCE = 64
_CALL_TIMEOUT_S = 2.0
_GIVE_UP_AFTER_S = 8.0


class ConditionFailed(Exception):
    """The write's condition did not hold; `item` is the row as it stands."""

    def __init__(self, item: Item) -> None:
        super().__init__("condition failed")
        self.item = item


class Conflict(Unavailable):
    """Somebody's transaction is at the row this moment: once more, and it goes through."""


def encode(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item on the wire; absent is absent, so None is left out."""
    return py2dy({name: value for name, value in item.items() if value is not None}) or {}


def decode(item: Mapping[str, Any] | None) -> Item:
    return dy2py(dict(item), _number) if item else {}


def _number(text: str) -> int | float:
    return float(text) if "." in text or "E" in text.upper() else int(text)


def _update_expression(
    changes: Item, add: Mapping[str, int], append: Mapping[str, list[Any]], names: Mapping[str, str], values: Item
) -> dict[str, Any]:
    """The expression and what it names. In a condition too, `#s_x` is the attribute x and `:s_x` what it is set to."""
    sets = {name: value for name, value in changes.items() if value is not None}
    assignments = [f"#s_{name} = :s_{name}" for name in sets]
    assignments += [f"#s_{name} = list_append(if_not_exists(#s_{name}, :no_{name}), :s_{name})" for name in append]
    clauses = {
        "SET": assignments,
        "REMOVE": [f"#s_{name}" for name in changes if name not in sets],
        "ADD": [f"#s_{name} :s_{name}" for name in add],
    }
    given = {f":s_{name}": value for name, value in {**sets, **add, **append}.items()}
    bound = encode(given | {f":no_{name}": [] for name in append} | values)
    expression = {
        "UpdateExpression": " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts),
        "ExpressionAttributeNames": {f"#s_{name}": name for name in (*changes, *add, *append)} | dict(names),
    }
    return expression | ({"ExpressionAttributeValues": bound} if bound else {})


class Dynamo:
    """DynamoDB's operations. Raises `Unavailable` without an answer in time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._batches = Batches(self.call)

    async def call(self, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        STORE_CALLS.labels(action).inc()
        try:
            return await self._client.send_request(action=action, payload=payload)
        except (ConditionalCheckFailed, TransactionCanceled, ValidationException):
            raise
        except TransactionConflict as error:
            raise Conflict(f"DynamoDB {action}: a transaction is at this row") from error
        except (AIODynamoError, aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"DynamoDB {action}: {type(error).__name__}") from error

    async def get(self, table: str, key: Item) -> Item | None:
        """A consistent read, joined with the others of the moment into one batch."""
        found = await self._batches.get(table, encode(key))
        return decode(found) if found else None

    async def put_soon(self, table: str, item: Item, key: tuple[str, ...]) -> None:
        """Writes without a condition, joined with the others of the moment; returns when it is durable."""
        await self._batches.put(table, encode(item), key)

    async def put(self, table: str, item: Item, *, unless_exists: str | None = None, if_version: int | None = None) -> None:
        """Raises `ConditionFailed` with the row when `unless_exists` (a key attribute) is there already, or when its
        `version` is not the one that was seen.
        """
        payload: dict[str, Any] = {"TableName": table, "Item": encode(item)}
        if if_version is not None:
            payload |= {
                "ConditionExpression": "#version = :seen",
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": encode({":seen": if_version}),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        if unless_exists is not None:
            payload |= {
                "ConditionExpression": "attribute_not_exists(#k)",
                "ExpressionAttributeNames": {"#k": unless_exists},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        await self._conditional("PutItem", payload)

    @staticmethod
    def put_if(table: str, item: Item, condition: str, values: Item | None = None) -> dict[str, Any]:
        """One write of a transaction."""
        put: dict[str, Any] = {"TableName": table, "Item": encode(item), "ConditionExpression": condition}
        return {"Put": put | ({"ExpressionAttributeValues": encode(values)} if values else {})}

    async def transact(self, writes: Sequence[Mapping[str, Any]], token: str) -> bool:
        """All of them or none; False when a condition did not hold or somebody else was at one of the rows.

        The same token within ten minutes is the same transaction, so its answer may be lost and asked for again.
        """
        try:
            await self.call("TransactWriteItems", {"TransactItems": list(writes), "ClientRequestToken": token})
        except TransactionCanceled as error:
            codes = {reason["Code"] for reason in error.body["CancellationReasons"]} - {"None"}
            if codes <= {"ConditionalCheckFailed", "TransactionConflict"}:
                return False
            raise Unavailable(f"DynamoDB TransactWriteItems: {', '.join(sorted(codes))}") from error
        return True

    async def update(
        self,
        table: str,
        key: Item,
        changes: Item,
        *,
        add: Mapping[str, int] | None = None,
        append: Mapping[str, list[Any]] | None = None,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Item | None = None,
    ) -> Item:
        """Sets `changes` (None removes), adds to counters, appends to lists, and returns the new row.

        Raises `ConditionFailed` with the row as it stands.
        """
        payload = {"TableName": table, "Key": encode(key), "ReturnValues": "ALL_NEW"}
        payload |= _update_expression(changes, add or {}, append or {}, names or {}, values or {})
        if condition is not None:
            payload |= {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        return decode((await self._conditional("UpdateItem", payload)).get("Attributes"))

    async def delete_soon(self, table: str, key: Item) -> None:
        """Joined with the other writes of the moment; returns when it is gone, also when it was never there."""
        await self._batches.delete(table, encode(key))

    async def query(
        self,
        table: str,
        condition: str,
        values: Item,
        *,
        names: Mapping[str, str] | None = None,
        index: str | None = None,
        forward: bool = True,
        limit: int | None = None,
        consistent: bool = True,
    ) -> list[Item]:
        """At most `limit` rows in key order; everything there is when no limit is given, page by page."""
        payload: dict[str, Any] = {
            "TableName": table,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": encode(values),
            "ScanIndexForward": forward,
            "ConsistentRead": consistent,
        }
        payload |= {"ExpressionAttributeNames": dict(names)} if names else {}
        payload |= {"IndexName": index} if index else {}
        payload |= {"Limit": limit} if limit else {}
        found: list[Item] = []
        while True:
            page = await self.call("Query", payload)
            found += [decode(item) for item in page["Items"]]
            last = page.get("LastEvaluatedKey")
            if last is None or (limit is not None and len(found) >= limit):
                return found[:limit]
            payload["ExclusiveStartKey"] = last

    async def pages(self, table: str, condition: str, values: Item, *, only: tuple[str, ...]) -> AsyncIterator[list[Item]]:
        """Every row in key order, consistently read, a page at a time and no more than the attributes `only` names."""
        payload: dict[str, Any] = {
            "TableName": table,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": encode(values),
            "ExpressionAttributeNames": {f"#o_{name}": name for name in only},
            "ProjectionExpression": ", ".join(f"#o_{name}" for name in only),
            "ConsistentRead": True,
        }
        while True:
            page = await self.call("Query", payload)
            yield [decode(item) for item in page["Items"]]
            if (last := page.get("LastEvaluatedKey")) is None:
                return
            payload["ExclusiveStartKey"] = last

    async def count(self, table: str, condition: str, values: Item, *, index: str | None = None) -> int:
        payload: dict[str, Any] = {
            "TableName": table,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": encode(values),
            "Select": "COUNT",
            "ConsistentRead": True,
        }
        payload |= {"IndexName": index} if index else {}
        total = 0
        while True:
            page = await self.call("Query", payload)
            total += int(page["Count"])
            if (last := page.get("LastEvaluatedKey")) is None:
                return total
            payload["ExclusiveStartKey"] = last

    async def _conditional(self, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self.call(action, payload)
        except ConditionalCheckFailed as error:
            body = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            raise ConditionFailed(decode(body.get("Item"))) from error


def in_places(http: HttpImplementation, places: ReservedPlaces) -> HttpImplementation:
    """Each attempt takes a place while it is on the wire, and none while the client waits to repeat a throttled one."""

    async def send(request: Request) -> Response:
        async with places.one():
            return await http(request)

    return send


@asynccontextmanager
async def open_dynamo(settings: Settings) -> AsyncIterator[Dynamo]:
    """The client of one process, with one pool of connections of which some are urgent work's own.

    The endpoint is AWS's own unless AWS_ENDPOINT_URL_DYNAMODB names another.
    """
    connector = aiohttp.TCPConnector(limit=_CALLS_AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=_CALL_TIMEOUT_S, connect=1.0)
    endpoint = URL(settings.aws_endpoint_url_dynamodb) if settings.aws_endpoint_url_dynamodb else None
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            yield Dynamo(
                Client(
                    in_places(AIOHTTP(session), ReservedPlaces(_CALLS_AT_ONCE)),
                    BotocoreCredentials(),
                    settings.aws_region,
                    endpoint=endpoint,
                    throttle_config=DecorelatedJitterRetry(time_limit_secs=_GIVE_UP_AFTER_S),
                )
            )
    finally:
        await asyncio.sleep(0)  # aiohttp closes its transports one loop turn after the session
