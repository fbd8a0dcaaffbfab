"""Putting a record away: to quarantine with its bytes, its origin and the reason, so that its neighbours flow on."""

from collections.abc import Sequence

from infrastructure.kafka.quarantine import quarantine_record
from infrastructure.ports import Publisher, Received
from schemas import topics
from schemas.events import FieldError


async def put_away(publisher: Publisher, record: Received, reason: str, errors: Sequence[FieldError] = ()) -> None:
    """Returns when quarantine has it; raises `Unavailable` otherwise, and then nothing may be committed."""
    await publisher.publish(
        quarantine_record(
            topics.environment_of(record.topic),
            key=record.key,
            value=record.value,
            headers=record.headers,
            origin=str(record.position),
            origin_ms=record.timestamp_ms,
            reason=reason,
            detail=errors or [FieldError(pointer="", detail=reason)],
        )
    )


def crash(error: Exception) -> str:
    """The reason of a record that crashed its handler again and again."""
    return f"crash:{type(error).__name__}"
