"""How deliveries in trouble and records in quarantine look to operators, over HTTP and in a terminal: ids, no addresses."""

from collections.abc import Mapping
from typing import Any

from api.quarantine import Entry
from schemas.cloudevents import SEAL
from schemas.deliveries import Delivery
from schemas.quarantined import Mark, shown_value, why_not
from schemas.troubled import last_by_hand

_ROW = {
    "notification_id",
    "delivery_id",
    "recipient",
    "channel",
    "state",
    "reason",
    "answer",
    "provider",
    "provider_id",
    "attempt",
    "doubtful",
    "next_at",
    "updated_at",
}


def shown_delivery(row: Delivery) -> dict[str, Any]:
    step = last_by_hand(row)
    by_hand = step.model_dump(mode="json", include={"event", "by", "note", "at"}) if step else None
    return row.model_dump(mode="json", include=_ROW) | {"by_hand": by_hand}


def shown_groups(counts: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """The largest first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"channel": channel, "reason": reason, "count": count} for (channel, reason), count in ordered]


def shown_entry(entry: Entry) -> dict[str, Any]:
    """What it is and why it lies there, without what its sender wrote."""
    record = entry.record
    return {
        "position": record.position.model_dump(),
        "at": record.at.isoformat(),
        "reason": record.reason,
        "errors": [error.model_dump() for error in record.errors],
        "origin": record.origin,
        "size": record.size,
        "replay_of": record.replay_of,
        "cannot_be_replayed": why_not(record),
        "mark": _mark(entry.mark),
    }


def shown_whole(entry: Entry) -> dict[str, Any]:
    """With its key, its headers and its value, which may be anything; only the seal is nobody's business."""
    record = entry.record
    key = record.key.decode(errors="replace") if record.key is not None else None
    headers = {
        name: "(hidden)" if name.lower() == SEAL else value.decode(errors="replace")
        for name, value in record.headers.items()
    }
    return shown_entry(entry) | {"key": key, "headers": headers, "value": shown_value(record.value)}


def _mark(mark: Mark | None) -> dict[str, Any] | None:
    return mark.model_dump(mode="json", exclude={"position"}) if mark else None
