"""Records that were refused or cannot be read: put aside with their bytes, where they came from, and why."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from infrastructure.ports import Outgoing
from schemas import topics
from schemas.base import iso
from schemas.events import FieldError

REASON = "x-dlq-reason"
ORIGIN = "x-dlq-origin"
ERRORS = "x-dlq-errors"
AT = "x-dlq-at"


def quarantine_record(
    environment: str,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
    origin: str,
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
    return Outgoing(topics.quarantine(environment), key, value, found)
