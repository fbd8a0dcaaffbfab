"""CloudEvents 1.0 in Kafka binary mode: the attributes are `ce_` headers, the value is the JSON data.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md (section 3.2).
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

from schemas.base import iso

REQUEST_TYPE = "carillon.request.v1"
CORRELATION_ID = "x-correlation-id"
SEAL = "x-carillon-seal"
SET_ASIDE = "x-carillon-set-aside"
ACCEPTED_AT = "x-carillon-accepted-at"
"""When a request that waited for its time was first accepted; a later record brings it back."""
TRACEPARENT = "traceparent"

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def event_headers(kind: str, *, event_id: str, source: str, time: datetime) -> dict[str, str]:
    """The required attributes and the time of one event."""
    return {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": source,
        "ce_type": kind,
        "ce_time": iso(time),
        "content-type": "application/json",
    }


def text_headers(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Kafka headers as text; the first of a name counts, and bytes that are no UTF-8 are shown as replaced."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.lower(), (value or b"").decode(errors="replace"))
    return found


def traceparent_of(headers: Mapping[str, str]) -> str:
    """The caller's trace (W3C Trace Context), or a new one when there is none or it is malformed."""
    given = headers.get(TRACEPARENT, "")
    return given if _TRACEPARENT.fullmatch(given) else f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id(traceparent: str) -> str:
    return traceparent.split("-")[1] if _TRACEPARENT.fullmatch(traceparent) else ""
