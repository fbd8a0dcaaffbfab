"""Records that were refused or cannot be read: put aside with their bytes, where they came from, and why."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pydantic import TypeAdapter

from infrastructure.ports import Gap, Outgoing, Publisher, Received
from schemas import topics
from schemas.base import iso
from schemas.events import FieldError, Position
from schemas.quarantined import Quarantined

REASON = "x-dlq-reason"
ORIGIN = "x-dlq-origin"
ORIGIN_MS = "x-dlq-origin-ms"
ERRORS = "x-dlq-errors"
AT = "x-dlq-at"
GAP_FROM = "x-dlq-gap-from"
GAP_TO = "x-dlq-gap-to"
_ERRORS: TypeAdapter[tuple[FieldError, ...]] = TypeAdapter(tuple[FieldError, ...])
_OURS = (REASON, ORIGIN, ORIGIN_MS, ERRORS, AT)


def quarantine_record(
    environment: str,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
    origin: str,
    origin_ms: int | None = None,
    reason: str,
    detail: Sequence[FieldError] = (),
) -> Outgoing:
    """The refused record byte for byte; of a header that comes twice, the first one counts."""
    found: dict[str, str | bytes] = {}
    for name, header in headers:
        found.setdefault(name, header)
    found |= {
        REASON: reason,
        ORIGIN: origin,
        ERRORS: json.dumps([{"pointer": error.pointer, "detail": error.detail} for error in detail]),
        AT: iso(datetime.now(UTC)),
    }
    if origin_ms is not None:
        found[ORIGIN_MS] = str(origin_ms)
    return Outgoing(topics.quarantine(environment), key, value, found)


def read_quarantined(record: Received) -> Quarantined:
    """A record of a quarantine topic. Our own headers are told from its sender's by their exact names, set once."""
    headers = dict(record.headers)
    ours = {name: headers.pop(name).decode(errors="replace") for name in _OURS if name in headers}
    milliseconds = ours.get(ORIGIN_MS, "")
    return Quarantined(
        position=record.position,
        at=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC),
        reason=ours.get(REASON, ""),
        origin=ours.get(ORIGIN, ""),
        origin_ms=int(milliseconds) if milliseconds.isdigit() else None,
        errors=_errors(ours.get(ERRORS, "")),
        key=record.key,
        value=record.value,
        headers=headers,
        timestamp_ms=record.timestamp_ms,
    )


def _errors(text: str) -> tuple[FieldError, ...]:
    """A record that somebody else put there must not hide the others from those who look."""
    try:
        return _ERRORS.validate_json(text)
    except ValueError:
        return ()


class QuarantinedGaps:
    """What retention deleted before its group could read it, as a record without a value where operators look."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def record(self, gap: Gap) -> None:
        """Offsets from `x-dlq-gap-from` up to, but not with, `x-dlq-gap-to` are gone."""
        count = gap.end - gap.first
        await self._publisher.publish(
            quarantine_record(
                topics.environment_of(gap.topic),
                key=None,
                value=None,
                headers=[(GAP_FROM, b"%d" % gap.first), (GAP_TO, b"%d" % gap.end)],
                origin=str(Position(topic=gap.topic, partition=gap.partition, offset=gap.first)),
                reason="gap",
                detail=[FieldError(pointer="", detail=f"{count} records were deleted before {gap.group} could read them")],
            )
        )
