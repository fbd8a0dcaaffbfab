"""What every push service has in common: a device as its address, a small payload, a time to live, what replaces what."""

import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.devices import Device, DeviceKind

UNREGISTERED = "unregistered"
"""What a provider says of a device that is gone for good."""

LONGEST_TTL = timedelta(days=28)  # what FCM keeps at most; the others keep no longer
_TITLE_MOST, _URL_MOST = 200, 2000
_LANES = 8


def device_at(address: str, kind: DeviceKind) -> Device | None:
    """The device an address stands for, if it is one of that kind."""
    try:
        device = Device.model_validate_json(address)
    except ValueError:
        return None
    return device if device.kind == kind else None


def lane(provider: str, device: Device) -> str:
    """Where a call ends up: all go to one host, so a few lanes keep one hanging call from standing for all of them."""
    return f"{provider}/{zlib.crc32(device.id.encode()) % _LANES}"


def replaces(delivery: DeliveryRecord, content: Content) -> str:
    """At most 32 characters of base64url (RFC 8030 section 5.4). Without a collapse key a repeat replaces only itself."""
    return content.collapse or delivery.delivery_id


def ttl_s(content: Content, now: datetime | None = None) -> int:
    """Seconds until nobody needs it any more."""
    if content.until is None:
        return int(LONGEST_TTL.total_seconds())
    left = content.until - (now or datetime.now(UTC))
    return max(0, int(min(left, LONGEST_TTL).total_seconds()))


def shown(content: Content) -> tuple[str, str | None]:
    """Title and address as far as a device has use for them."""
    title = content.title if len(content.title) <= _TITLE_MOST else content.title[: _TITLE_MOST - 1] + "…"
    url = content.url if content.url and len(content.url) <= _URL_MOST else None
    return title, url


def as_json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def fitted(build: Callable[[str], bytes], body: str, most: int) -> bytes:
    """The payload with as much of the body as fits; what is cut ends in `…`."""
    whole = build(body)
    if len(whole) <= most:
        return whole
    fits, too_long = 0, len(body)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if len(build(body[:middle] + "…")) <= most else (fits, middle)
    return build(body[:fits].rstrip() + "…")
