"""Ids that every entrance and every replay derive alike. The recipes are frozen: changing one doubles notifications."""

import base64
import hashlib
import json
import zlib

import uuid_utils

_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _digest(*parts: str) -> str:
    first = hashlib.sha256(_COMPACT.encode(["v1", *parts]).encode()).digest()[:16]
    return base64.b32encode(first).decode().rstrip("=").lower()


def notification_id(environment: str, producer: str, request_id: str) -> str:
    return "ntf_" + _digest(environment, producer, request_id)


def delivery_id(notification: str, recipient: str, channel: str, endpoint: str) -> str:
    return "dlv_" + _digest(notification, recipient, channel, endpoint)


def series_id(*parts: str) -> str:
    """Of the digests that follow one another: everything that decides whether, where and as what they go."""
    return "ser_" + _digest("digest", *parts)


def window_id(series: str, opened_at: str) -> str:
    """Of one digest, which is a notification. Two parts where a request's has three: no request can have this id."""
    return "ntf_" + _digest(series, opened_at)


def device_id(kind: str, token: str) -> str:
    """Of a device, from what lets one send to it: it says nothing about whose it is."""
    return "dev_" + _digest("device", kind, token)


def new_request_id() -> str:
    """A time-ordered id (UUIDv7, RFC 9562 section 5.7) for callers who brought none."""
    return str(uuid_utils.uuid7())


def record_request_id(topic: str, partition: int, offset: int, timestamp_ms: int, payload: bytes) -> str:
    """For a raw Kafka record without an id: the same record read twice gets the same id."""
    place = f"{topic}|{partition}|{offset}|{timestamp_ms}|".encode()
    return "rec-" + hashlib.sha256(place + payload).hexdigest()


def entry_request_id(stream: str, entry_id: str) -> str:
    """For a Redis stream entry without an id of its own."""
    return "xid-" + hashlib.sha256(f"{stream}|{entry_id}".encode()).hexdigest()


def endpoint_of(address: str) -> str:
    """The endpoint name of an address that was given with the request: its hash, so that ids carry no personal data."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()[:32]


def shard_of(name: str, shards: int) -> int:
    """Which of so many shards a person or recipient belongs to. Frozen like the ids: rows are found by it."""
    return zlib.crc32(name.encode()) % shards
