"""Records in quarantine as operators see them, and which of them may be put back where they came from. Pure."""

import base64
from typing import Literal

from schemas import topics
from schemas.base import Record, UtcDatetime
from schemas.events import FieldError, Position
from schemas.ids import record_request_id
from schemas.requests import UnreadableJson, read_object

REPLAYED_FROM, REPLAYED_BY = "x-replayed-from", "x-replayed-by"
SHOWN_BYTES = 64 * 1024

MarkKind = Literal["replayed", "discarded"]


class Mark(Record):
    """What a person did with a record in quarantine; a replay is over once `to` says where the record went."""

    position: str
    kind: MarkKind
    by: str
    at: UtcDatetime
    to: str | None = None

    @property
    def is_final(self) -> bool:
        return self.kind == "discarded" or self.to is not None


class Quarantined(Record):
    """One record in quarantine. `headers` are those it came with, as bytes; `origin_ms` is its time in Kafka then."""

    position: Position
    at: UtcDatetime
    reason: str
    origin: str
    origin_ms: int | None = None
    errors: tuple[FieldError, ...] = ()
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    timestamp_ms: int

    @property
    def environment(self) -> str:
        return topics.environment_of(self.position.topic)

    @property
    def size(self) -> int:
        return len(self.value or b"")

    @property
    def origin_position(self) -> Position | None:
        """None for what came over Redis."""
        try:
            return Position.of(self.origin)
        except ValueError:
            return None

    @property
    def replay_of(self) -> str | None:
        """The record in quarantine whose replay was refused again, if this is one."""
        found = self.headers.get(REPLAYED_FROM)
        return found.decode(errors="replace") if found else None


def why_not(found: Quarantined) -> str | None:
    """Why a record cannot be put back, for the person who asked; None when it can."""
    origin = found.origin_position
    if found.reason == "gap":
        return "nothing is left of it: these records were deleted by retention before they were read"
    if origin is None:
        return "it came over Redis: write the corrected entry there again; the same request id keeps it one notification"
    if found.reason in ("not_ours", "not_planned"):
        return "none of our workers wrote it, so it would be refused again"
    requests = {topics.requests(found.environment), topics.requests(found.environment, "urgent")}
    if origin.topic in requests | {topics.status(found.environment)}:
        return None
    if topics.environment_of(origin.topic) != found.environment:
        return f"it came from {origin.topic}, which is none of {found.environment}'s"
    return "its delivery ended as FAILED in the ledger: replay that delivery instead"


def replay_headers(found: Quarantined, by: str) -> dict[str, bytes]:
    """Its own headers, seal included, and where it lay and who put it back.

    A raw request without an id keeps the identity its first place gave it, so that replaying twice is one notification.
    """
    headers = {name: value for name, value in found.headers.items() if name not in (REPLAYED_FROM, REPLAYED_BY)}
    if "ce_id" not in {name.lower() for name in headers} and not _has_own_id(found.value or b""):
        headers["ce_id"] = _first_identity(found).encode()
    return headers | {REPLAYED_FROM: str(found.position).encode(), REPLAYED_BY: by.encode()}


def _has_own_id(value: bytes) -> bool:
    try:
        return isinstance(read_object(value).get("request_id"), str)
    except UnreadableJson:
        return False


def _first_identity(found: Quarantined) -> str:
    place, moment = found.origin_position, found.origin_ms
    if place is None or moment is None:  # put away by an older version: its place here is as lasting
        place, moment = found.position, found.timestamp_ms
    return record_request_id(place.topic, place.partition, place.offset, moment, found.value or b"")


def shown_value(value: bytes | None) -> dict[str, object]:
    """As text if it is UTF-8, else as base64; a large one only from its beginning."""
    if value is None:
        return {"text": None, "base64": None, "truncated": False}
    beginning, truncated = value[:SHOWN_BYTES], len(value) > SHOWN_BYTES
    try:
        text: str | None = beginning.decode()
    except UnicodeDecodeError as error:
        cut_short = truncated and error.start >= len(beginning) - 3  # in the middle of a character
        text = beginning[: error.start].decode() if cut_short else None
    encoded = None if text is not None else base64.b64encode(beginning).decode()
    return {"text": text, "base64": encoded, "truncated": truncated}
