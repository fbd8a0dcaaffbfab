"""API keys for backends: what is kept of one, and the pure rules of its life. The secret itself is never in here."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from schemas.base import WHOLE, Record, UtcDatetime, Value
from schemas.durations import Duration
from schemas.topics import ENVIRONMENTS, Environment

# A key's name and producer end up in ids, logs and tables; without a colon it can be no person's and no client's.
Producer = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
# `keys:write` is not among them: credentials that make credentials are for people.
Permission = Literal[
    "notifications:send",
    "notifications:broadcast",
    "types:write",
    "templates:write",
    "people:write",
    "ops:read",
    "ops:write",
]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

DEFAULT_LIMIT_PER_MINUTE = 6000
DEFAULT_OVERLAP = timedelta(days=1)
LONGEST_OVERLAP = timedelta(days=90)
USED_AT_MOST_EVERY = timedelta(hours=1)

KEY_ID = r"(?:dev|uat|prod|test)[a-z2-7]{16}"
_KEY = re.compile(rf"crl_(?P<id>{KEY_ID})_(?P<secret>[a-z2-7]{{52}})", re.ASCII)


class SecretOfKey(Record):
    """A keyed hash; `until` is when a secret that was rotated out stops counting."""

    hash: str
    created_at: UtcDatetime
    until: UtcDatetime | None = None

    def counts_at(self, now: datetime) -> bool:
        return self.until is None or now < self.until


class ApiKey(Record):
    """A backend's right to call: one environment, one producer name, a set of permissions."""

    key_id: str
    environment: Environment
    producer: str
    name: str
    permissions: tuple[str, ...]
    limit_per_minute: int
    secrets: tuple[SecretOfKey, ...]
    created_at: UtcDatetime
    created_by: str
    expires_at: UtcDatetime | None = None
    revoked_at: UtcDatetime | None = None
    last_used_at: UtcDatetime | None = None
    version: int = 1

    def counts_at(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def use_is_news(self, now: datetime) -> bool:
        """The last use is a date for people, not a log: written at most once an hour."""
        return self.last_used_at is None or now - self.last_used_at >= USED_AT_MOST_EVERY


class NewKey(Value):
    """What somebody asks for who wants a key."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")] = Field(
        description="For people, to know it again", examples=["orders service"]
    )
    producer: Producer = Field(
        description="Whose notifications these are; part of every notification id. Keys may share one.", examples=["orders"]
    )
    environment: Environment | None = Field(
        default=None, description="The only one it works in; the default one if not said"
    )
    permissions: tuple[Permission, ...] = Field(default=("notifications:send",), max_length=len(PERMISSIONS))
    limit_per_minute: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] = DEFAULT_LIMIT_PER_MINUTE
    expires_at: UtcDatetime | None = None


class Rotation(Value):
    """How long the secret before may still be used."""

    overlap: Duration = Field(default=DEFAULT_OVERLAP, ge=timedelta(0), le=LONGEST_OVERLAP, examples=["24h"])


def read_key(presented: str) -> tuple[str, str] | None:
    """Id and secret of something in the shape of a key."""
    found = _KEY.fullmatch(presented)
    return (found["id"], found["secret"]) if found else None


def environment_of_key(key_id: str) -> Environment:
    """A key shows its environment, as everybody can see before using it."""
    return next(environment for environment in ENVIRONMENTS if key_id == environment + key_id[-16:])


def rotated(key: ApiKey, new_hash: str, overlap: timedelta, now: datetime) -> ApiKey:
    """A new secret counts from now on; of the older ones only the last, until the overlap ends."""
    kept = (key.secrets[-1].model_copy(update={"until": now + overlap}),) if overlap else ()
    return key.model_copy(update={"secrets": (*kept, SecretOfKey(hash=new_hash, created_at=now))})


def described(key: ApiKey, now: datetime) -> dict[str, object]:
    """What may be shown of a key: everything but the hashes."""
    shown = key.model_dump(mode="json", exclude={"secrets", "version"})
    live = [
        secret.model_dump(mode="json", include={"created_at", "until"}) for secret in key.secrets if secret.counts_at(now)
    ]
    state = "revoked" if key.revoked_at else "live" if key.counts_at(now) else "expired"
    return shown | {"state": state, "secrets": live}
