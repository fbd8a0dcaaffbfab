import secrets
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jwt import JWTClaimsRegistry

from infrastructure.local.identity.grants import Clock, Grant
from infrastructure.local.identity.people import PEOPLE, Person
from infrastructure.local.identity.settings import IdentitySettings

ID_TOKEN_LIFETIME_S = 36_000
ACCESS_TOKEN_LIFETIME_S = 86_400


@dataclass(frozen=True, slots=True)
class _Opaque:
    person: Person
    scope: frozenset[str]
    expires_at: float


class Mint:
    """Makes tokens as Auth0 does: a JWT for a named API, an opaque string otherwise."""

    def __init__(self, settings: IdentitySettings, key: RSAKey, clock: Clock) -> None:
        self._settings, self._key, self._clock = settings, key, clock
        self._opaque: dict[str, _Opaque] = {}

    def id_token(self, grant: Grant) -> str:
        now = int(self._clock())
        nonce = {"nonce": grant.nonce} if grant.nonce else {}
        return self._sign(
            {
                **grant.person.claims(grant.scope),
                "iss": self._settings.issuer,
                "aud": self._settings.client_id,
                "sub": grant.person.sub,
                "iat": now,
                "exp": now + ID_TOKEN_LIFETIME_S,
                "sid": grant.session,
                **nonce,
            }
        )

    def person_token(self, grant: Grant, *, gty: str = "") -> str:
        """The access token of a person."""
        if not grant.audience:
            return self._opaque_token(grant)
        api, userinfo = grant.audience, self._settings.userinfo_url
        audience = [api, userinfo] if "openid" in grant.scope else api
        return self._access_token(grant.person.sub, audience, grant.scope, grant.person.permissions, gty)

    def machine_token(self) -> str:
        """The access token of the application itself, which no person stands behind."""
        subject = f"{self._settings.client_id}@clients"
        permissions = self._settings.machine_permissions
        return self._access_token(
            subject, self._settings.audience, frozenset(permissions), permissions, "client-credentials"
        )

    def person_behind(self, token: str) -> tuple[Person, frozenset[str]] | None:
        """Whom /userinfo may speak about; an id_token or a token for the API alone opens nothing."""
        opaque = self._opaque.get(token)
        if opaque is not None:
            return (opaque.person, opaque.scope) if opaque.expires_at > self._clock() else None
        try:
            claims = jwt.decode(token, self._key, algorithms=["RS256"]).claims
            self._registry().validate(claims)
        except (JoseError, ValueError):
            return None
        person = PEOPLE.get(str(claims["sub"]))
        return (person, frozenset(str(claims.get("scope", "")).split())) if person else None

    def _registry(self) -> JWTClaimsRegistry:
        return JWTClaimsRegistry(
            now=int(self._clock()),
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.userinfo_url},
            sub={"essential": True},
            exp={"essential": True},
        )

    def _access_token(
        self, subject: str, audience: str | list[str], scope: frozenset[str], permissions: tuple[str, ...], gty: str
    ) -> str:
        now = int(self._clock())
        claims: dict[str, object] = {
            "iss": self._settings.issuer,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "exp": now + ACCESS_TOKEN_LIFETIME_S,
            "scope": " ".join(sorted(scope)),
        }
        if gty:
            claims["gty"] = gty
        if self._settings.rbac:
            claims["permissions"] = list(permissions)
        if self._settings.access_token_profile == "rfc9068":  # noqa: S105 - the name of a dialect
            return self._sign({**claims, "client_id": self._settings.client_id, "jti": secrets.token_hex(16)}, "at+jwt")
        return self._sign({**claims, "azp": self._settings.client_id})

    def _opaque_token(self, grant: Grant) -> str:
        now = self._clock()
        self._opaque = {key: kept for key, kept in self._opaque.items() if kept.expires_at > now}
        token = secrets.token_urlsafe(32)
        self._opaque[token] = _Opaque(grant.person, grant.scope, now + ACCESS_TOKEN_LIFETIME_S)
        return token

    def _sign(self, claims: dict[str, object], typ: str = "JWT") -> str:
        return jwt.encode({"alg": "RS256", "typ": typ, "kid": self._key.kid}, claims, self._key)
