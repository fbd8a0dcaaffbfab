"""A token issuer without a network: it signs what a test tells it, and counts who asks for its documents."""

import time
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

from infrastructure.auth.bearer import BearerVerifier
from infrastructure.auth.jwks import Jwks
from infrastructure.auth.provider import Provider

ISSUER = "https://tenant.example/"
AUDIENCE = "https://api.example"
CLIENT_ID = "carillon-web"


class FakeIssuer:
    def __init__(self, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self.keys = [a_key("first")]
        self.asked: list[str] = []
        self.away = False
        self.jwks: Any = None
        self.metadata: dict[str, Any] = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}authorize",
            "token_endpoint": f"{issuer}oauth/token",
            "jwks_uri": f"{issuer}.well-known/jwks.json",
        }

    def provider(self) -> Provider:
        return Provider(ISSUER, httpx2.MockTransport(self.answer))

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.path)
        if self.away:
            raise httpx2.ConnectError("refused", request=request)
        if request.url.path.endswith("openid-configuration"):
            return httpx2.Response(200, json=self.metadata)
        return httpx2.Response(200, json=self.jwks or {"keys": [key.as_dict(private=False) for key in self.keys]})

    def sign(self, claims: dict[str, Any], header: dict[str, Any] | None = None, key: RSAKey | None = None) -> str:
        key = key or self.keys[0]
        return jwt.encode({"alg": "RS256", "typ": "JWT", "kid": key.kid, **(header or {})}, claims, key)

    def token(self, **changes: Any) -> str:
        """An access token; a change to None takes the claim out."""
        claims = {**a_set_of_claims(), **changes}
        return self.sign({name: value for name, value in claims.items() if value is not None})


def a_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


def a_set_of_claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "sub": "auth0|ana",
        "aud": [AUDIENCE, f"{ISSUER}userinfo"],
        "iat": now,
        "exp": now + 3600,
        "azp": CLIENT_ID,
        "permissions": ["notifications:send"],
    }


def a_verifier(issuer: FakeIssuer, audience: str = AUDIENCE) -> BearerVerifier:
    return BearerVerifier(Jwks(issuer.provider()), ISSUER, audience)
