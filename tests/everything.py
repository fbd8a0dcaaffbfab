"""All tables and all of Redis, read whole by other clients than the product's own, and searched as text."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from redis.asyncio import Redis

Place = tuple[str, str]
"""Where something lies, and what lies there."""


async def everything(variables: Mapping[str, str], environment: str, redis: Redis) -> list[Place]:
    """Every row of every table of an environment, the tables nobody has listed too; every key of Redis."""
    return await asyncio.to_thread(_rows, variables, environment) + await _keys(redis)


def mentions(places: list[Place], *words: str) -> list[str]:
    """Where one of the words stands, in plain text."""
    return [f"{word} in {where}: {text}" for where, text in places for word in words if word in text]


def _rows(variables: Mapping[str, str], environment: str) -> list[Place]:
    client = boto3.client(
        "dynamodb",
        endpoint_url=variables["AWS_ENDPOINT_URL_DYNAMODB"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    names = [name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]]
    return [
        (name, json.dumps(item, ensure_ascii=False, default=str))
        for name in names
        if name.startswith(f"{environment}-")
        for item in _scanned(client, name)
    ]


def _scanned(client: Any, name: str) -> Iterator[Any]:
    for page in client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True):
        yield from page["Items"]


async def _keys(redis: Redis) -> list[Place]:
    return [("redis", f"{key!r} {await _value(redis, key)!r}") async for key in redis.scan_iter(count=1000)]


async def _value(redis: Redis, key: bytes) -> Any:
    match await redis.type(key):
        case b"stream":
            return await redis.xrange(key)
        case b"hash":
            return await redis.hgetall(key)
        case b"list":
            return await redis.lrange(key, 0, -1)
        case b"set":
            return await redis.smembers(key)
        case b"zset":
            return await redis.zrange(key, 0, -1, withscores=True)
        case _:
            return await redis.get(key)
