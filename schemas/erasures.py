"""The erasure of a person: the command, how far it has come, and what it covers. Pure."""

import hashlib
import hmac
import json
from base64 import b32encode
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, get_args

from pydantic import Field

from schemas.base import Record, UtcDatetime
from schemas.plan import Notification, PlannedDelivery
from schemas.topics import Environment

ERASED = "erased"
"""The reason of a delivery that is skipped because its person was erased after it was accepted."""

Part = Literal["sessions", "schedules", "contact", "devices", "subscriptions", "preferences", "caps", "inbox", "history"]
PARTS: tuple[Part, ...] = get_args(Part)
"""In this order, each once."""
SWEPT: tuple[Part, ...] = ("schedules", "history")
"""What is gone through again later: how old its rows are can be told, so what came since is left alone."""


def pseudonym(key: bytes, environment: str, person: str) -> str:
    """What stands for an erased person: the same for the same person, and nobody without the key can tell whose it is."""
    parts = json.dumps([environment, person]).encode()
    digest = hmac.new(key, b"carillon-erasure-v1" + parts, hashlib.sha256).digest()
    return f"erased_{b32encode(digest[:16]).decode().rstrip('=').lower()}"


class ErasureCommand(Record):
    """An erasure on its way through Kafka and, for its sweeps, through timers: the person's name is encrypted inside."""

    environment: Environment
    erasure_id: str
    subject: str
    sealed: str
    at: UtcDatetime
    sweep: int = 0  # 0: the erasure itself; n: its n-th sweep


class Erasure(Record):
    """How far an erasure has come. Its row is the mark: what was accepted `erased_before` never goes out any more."""

    environment: Environment
    subject: str
    erasure_id: str
    asked_at: UtcDatetime
    erased_before: UtcDatetime
    status: Literal["UNDER_WAY", "DONE"] = "UNDER_WAY"
    parts: dict[Part, int] = Field(default_factory=dict)
    done_at: UtcDatetime | None = None
    swept_at: UtcDatetime | None = None
    next_sweep_at: UtcDatetime | None = None


def is_covered(erased_before: datetime | None, accepted_at: datetime) -> bool:
    """Whether something came before the erasure: who is heard of again later is somebody new."""
    return erased_before is not None and accepted_at < erased_before


def covers(erased_before: datetime | None, notification: Notification) -> bool:
    """A raw producer's clock may be ahead; when a notification was planned is told by ours."""
    return is_covered(erased_before, min(notification.accepted_at, notification.planned_at))


def without_erased(
    lines: tuple[PlannedDelivery, ...], erased: Mapping[str, datetime], accepted_at: datetime
) -> tuple[PlannedDelivery, ...]:
    """The lines with those skipped whose person was erased since; no category is so mandatory that it would count."""

    def is_gone(line: PlannedDelivery) -> bool:
        return not line.bare and is_covered(erased.get(line.recipient), accepted_at)

    return tuple(line.model_copy(update={"skipped": ERASED, "address": None}) if is_gone(line) else line for line in lines)
