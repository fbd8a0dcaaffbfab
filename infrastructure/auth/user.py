import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from schemas.base import UtcDatetime, Value
from schemas.locales import locale_or_none
from schemas.quiet_hours import zone_or_none
from schemas.topics import Environment

MACHINE_SUFFIX = "@clients"  # Auth0: the subject of a machine-to-machine token
MAX_ID_LENGTH = 255
FAR_FUTURE_S = 253_402_300_799  # 9999-12-31, the last moment a datetime can hold


class BadClaims(Exception):
    """A signed statement that does not say who somebody is in a form we accept; the message names the claim."""


class User(Value):
    """Somebody whose credential was verified. Frozen: rights change by logging in again, not by assignment."""

    id: str
    sub: str
    issuer: str
    kind: Literal["person", "machine", "service"] = "person"
    permissions: frozenset[str] = frozenset()
    name: str = ""
    email: str = ""
    email_verified: bool = False
    zone: str = ""
    locale: str = ""
    expires_at: UtcDatetime
    # what an API key or a service token adds: its producer name, the one environment it works in, and its own limit
    producer: str = ""
    environment: Environment | None = None
    limit_per_minute: int | None = None

    def may(self, permission: str) -> bool:
        return permission in self.permissions


def user_of(claims: Mapping[str, Any], id_claim: str) -> User:
    """The user a verified token speaks of. Its id is `sub` unless the deployment names another claim."""
    sub = _identifier(claims, "sub")
    return User(
        id=_user_id(claims, id_claim),
        sub=sub,
        issuer=claims["iss"],
        kind="machine" if sub.endswith(MACHINE_SUFFIX) else "person",
        permissions=_permissions(claims),
        name=_text(claims, "name"),
        email=_text(claims, "email"),
        email_verified=claims.get("email_verified") is True,
        zone=zone_or_none(claims.get("zoneinfo")) or "",
        locale=locale_or_none(claims.get("locale")) or "",
        expires_at=datetime.fromtimestamp(min(moment(claims, "exp"), FAR_FUTURE_S), UTC),
    )


def moment(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 section 2): a finite number, and no boolean."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadClaims(name)
    return float(value)


def _user_id(claims: Mapping[str, Any], id_claim: str) -> str:
    if id_claim == "email" and claims.get("email_verified") is not True:
        raise BadClaims("email_verified")  # anybody can register with anybody's address
    return _identifier(claims, id_claim)


def _identifier(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_LENGTH or not value.isprintable():
        raise BadClaims(name)
    return value


def _permissions(claims: Mapping[str, Any]) -> frozenset[str]:
    value = claims.get("permissions", [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadClaims("permissions")
    return frozenset(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) and len(value) <= MAX_ID_LENGTH and value.isprintable() else ""
