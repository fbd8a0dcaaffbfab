import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from infrastructure.local.identity.people import Person
from infrastructure.local.identity.refusals import invalid_grant

CODE_LIFETIME_S = 600
REFRESH_LIFETIME_S = 30 * 24 * 3600

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person allowed the application."""

    person: Person
    scope: frozenset[str]
    audience: str
    nonce: str = ""
    session: str = field(default_factory=lambda: secrets.token_urlsafe(18))


@dataclass(slots=True)
class Family:
    """All refresh tokens that grew out of one login; they are revoked together."""

    grant: Grant
    revoked: bool = False


@dataclass(slots=True)
class _Code:
    family: Family
    redirect_uri: str
    challenge: str
    expires_at: float
    used: bool = False


class Codes:
    """Authorization codes, each good for one exchange (RFC 6749 4.1.2)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: dict[str, _Code] = {}

    def issue(self, grant: Grant, *, redirect_uri: str, challenge: str) -> str:
        now = self._clock()
        self._codes = {key: kept for key, kept in self._codes.items() if kept.expires_at > now}
        code = secrets.token_urlsafe(32)
        self._codes[code] = _Code(Family(grant), redirect_uri, challenge, now + CODE_LIFETIME_S)
        return code

    def redeem(self, code: str, *, redirect_uri: str, challenge: str) -> Family:
        """Burn the code, whatever comes of it; a second use revokes what the first one got."""
        found = self._codes.get(code)
        if found is None or found.expires_at <= self._clock():
            raise invalid_grant("Invalid authorization code")
        if found.used:
            found.family.revoked = True
            raise invalid_grant("Invalid authorization code")
        found.used = True
        if not secrets.compare_digest(found.challenge, challenge):
            raise invalid_grant("Failed to verify code verifier")
        if found.redirect_uri != redirect_uri:
            raise invalid_grant("The redirect_uri does not match the one of the authorization request")
        return found.family


@dataclass(slots=True)
class _Refresh:
    family: Family
    expires_at: float
    rotated_at: float | None = None


class RefreshTokens:
    """Rotating refresh tokens: an old one works during the overlap, then its use revokes the whole family."""

    def __init__(self, clock: Clock, overlap_s: float) -> None:
        self._clock, self._overlap_s = clock, overlap_s
        self._tokens: dict[str, _Refresh] = {}

    def issue(self, family: Family) -> str:
        now = self._clock()
        self._tokens = {key: kept for key, kept in self._tokens.items() if kept.expires_at > now}
        token = secrets.token_urlsafe(32)
        self._tokens[token] = _Refresh(family, now + REFRESH_LIFETIME_S)
        return token

    def rotate(self, token: str) -> Family:
        found = self._tokens.get(token)
        if found is None or found.family.revoked or found.expires_at <= self._clock():
            raise invalid_grant("Unknown or invalid refresh token.")
        now = self._clock()
        if found.rotated_at is None:
            found.rotated_at = now
        elif now - found.rotated_at >= self._overlap_s:
            found.family.revoked = True
            raise invalid_grant("Unknown or invalid refresh token.")
        return found.family
