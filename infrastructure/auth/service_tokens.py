"""Bearer tokens of services, signed with a secret they share with us (RFC 7519 with HS256, HS384 or HS512)."""

import json
import time
from collections.abc import Callable, Mapping, Set
from datetime import UTC, datetime
from typing import Any

import structlog
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from infrastructure.auth.bearer import ID_TOKEN_CLAIMS, LEEWAY_S, InvalidToken, check_audience, read_header
from infrastructure.auth.user import BadClaims, User, moment
from infrastructure.settings import Settings

log = structlog.get_logger()

HEADERS = {"alg", "typ"}
TYPES: Set[str | None] = {"JWT", "at+jwt", None}


class ServiceTokens:
    """Closed without JWT_SECRET_KEY. Key and algorithm are the settings' alone; the provider's keys open nothing here."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        secrets = (settings.jwt_secret_key, settings.jwt_secret_key_previous)
        said = [secret.get_secret_value() for secret in secrets]
        self._keys = [OctKey.import_key(secret) for secret in said if secret] if said[0] else []
        self._algorithm = settings.jwt_algorithm
        self._services = settings.jwt_services
        if self._keys and not self._services:
            log.warning("service_tokens.nobody", reason="JWT_SECRET_KEY is set and JWT_SERVICES names no service")
        self._environment = settings.jwt_environment or settings.default_environment
        self._lifetime_max_s = settings.jwt_lifetime_max_s
        self._audience = settings.auth0_audience
        self._clock = clock

    def claims_to_be_one(self, token: str) -> bool:
        """Whether the token says it is signed with a shared secret. It decides only who judges it, by keys of their own."""
        return bool(self._keys) and str(read_header(token).get("alg")).startswith("HS")

    def verify(self, token: str) -> User:
        """The service a token names, with what the settings grant it. Raises `InvalidToken`."""
        claims = self._signed_claims(token)
        try:
            expires_at = self._check_times(claims)
        except BadClaims as error:
            raise InvalidToken(f"claim {error}") from error
        if "aud" in claims:
            check_audience(claims, self._audience)
        if not ID_TOKEN_CLAIMS.isdisjoint(claims):
            raise InvalidToken("an ID token is no service's")
        service = claims.get("sub")
        if not isinstance(service, str) or service not in self._services:
            raise InvalidToken("no service of JWT_SERVICES")
        return self._user(service, expires_at)

    def _signed_claims(self, token: str) -> dict[str, Any]:
        header = read_header(token)
        if header.get("alg") != self._algorithm:
            raise InvalidToken("algorithm")
        if header.get("typ") not in TYPES:
            raise InvalidToken("type")
        if not HEADERS.issuperset(header):
            raise InvalidToken("header parameter")
        for key in self._keys:
            try:
                claims = json.loads(jws.deserialize_compact(token, key, algorithms=[self._algorithm]).payload)
            except (JoseError, ValueError, RecursionError):
                continue
            if isinstance(claims, dict):
                return claims
        raise InvalidToken("signature or payload")

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        """A token lives for a bounded time: counted from `iat`, or where an issuer writes none, from now."""
        now, expires_at = self._clock(), moment(claims, "exp")
        issued_at = moment(claims, "iat") if "iat" in claims else now
        if expires_at <= now - LEEWAY_S:
            raise InvalidToken("expired")
        if issued_at > now + LEEWAY_S:
            raise InvalidToken("issued in the future")
        if expires_at > issued_at + self._lifetime_max_s + LEEWAY_S:
            raise InvalidToken("lives longer than JWT_LIFETIME_MAX_S")
        if "nbf" in claims and moment(claims, "nbf") > now + LEEWAY_S:
            raise InvalidToken("not valid yet")
        return expires_at

    def _user(self, service: str, expires_at: float) -> User:
        return User(
            id=f"service:{service}",
            sub=service,
            issuer="carillon",
            kind="service",
            permissions=frozenset(self._services[service]),
            name=service,
            expires_at=datetime.fromtimestamp(expires_at, UTC),
            producer=service,
            environment=self._environment,
        )
