"""The conversation with the provider: authlib's OAuth client on httpx2, one instance per exchange.

One per exchange, because authlib keeps the token of the last answer on the client: shared, two people refreshing at
once could be handed each other's.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from infrastructure.auth.bearer import LEEWAY_S, BearerVerifier, InvalidToken, check_registered, verified_claims
from infrastructure.auth.jwks import Jwks
from infrastructure.auth.provider import TIMEOUT_S, Provider
from infrastructure.auth.sessions import Session
from infrastructure.auth.user import BadClaims, User, moment, user_of
from infrastructure.settings import Settings
from schemas.outcomes import Unavailable

SCOPE = "openid profile email offline_access"
PROFILE = ("name", "email", "email_verified")


class Refused(Exception):
    """The provider, or our reading of what it sent, says no. The reason is for the log."""


@dataclass(frozen=True)
class Challenge:
    """One authorization request: what the browser is sent to, and what must come back."""

    url: str
    state: str
    nonce: str
    verifier: str


class OAuthClient:
    """Authorization code with PKCE (RFC 7636), refresh and revocation (RFC 7009) for one provider and one API."""

    def __init__(
        self,
        settings: Settings,
        provider: Provider,
        jwks: Jwks,
        bearer: BearerVerifier,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client_id = settings.auth0_client_id
        self._client_secret = settings.auth0_client_secret.get_secret_value()
        self._audience, self._id_claim = settings.auth0_audience, settings.user_id_claim
        self.callback_url = f"{settings.base_url}/api/v1/auth/callback"
        self._provider, self._jwks, self._bearer, self._clock = provider, jwks, bearer, clock

    async def challenge(self, state: str, nonce: str, verifier: str) -> Challenge:
        metadata = await self._provider.metadata()
        audience = {"audience": self._audience} if self._audience else {}
        async with self._exchange() as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier, **audience
            )
        return Challenge(url, state, nonce, verifier)

    async def redeem(self, code: str, *, verifier: str, nonce: str) -> Session:
        """The session a code is good for, its times not set yet. Raises `Refused` or `Unavailable`."""
        metadata = await self._provider.metadata()
        async with self._exchange() as client:
            tokens = await client.fetch_token(
                metadata.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
            )
        return await self._session(tokens, await self._id_claims(tokens, nonce))

    async def renew(self, session: Session) -> Session:
        """The same person's session with new tokens; a refresh token that was not rotated is kept."""
        metadata = await self._provider.metadata()
        async with self._exchange() as client:
            tokens = await client.refresh_token(metadata.token_endpoint, refresh_token=session.refresh_token)
        known = {"sub": session.user.sub, "iss": session.user.issuer, self._id_claim: session.user.id}
        profile = {name: getattr(session.user, name) for name in PROFILE}
        told = await self._id_claims(tokens, nonce="") if tokens.get("id_token") else {}
        renewed = await self._session(tokens, {**known, **profile, "sid": session.provider_session, **told})
        if (renewed.user.sub, renewed.user.id) != (session.user.sub, session.user.id):
            raise Refused("another user")  # OpenID Connect Core section 12.2
        return renewed.model_copy(update={"refresh_token": renewed.refresh_token or session.refresh_token})

    async def revoke(self, refresh_token: str) -> None:
        """Ends the grant at the provider, if it offers that (RFC 7009)."""
        endpoint = (await self._provider.metadata()).revocation_endpoint
        if endpoint:
            async with self._exchange() as client:
                answer = await client.revoke_token(endpoint, token=refresh_token, token_type_hint="refresh_token")  # noqa: S106
                answer.raise_for_status()

    @asynccontextmanager
    async def _exchange(self) -> AsyncIterator[Any]:
        client = AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=self._client_secret,
            scope=SCOPE,
            redirect_uri=self.callback_url,
            code_challenge_method="S256",
            transport=self._provider.transport,
            verify=self._provider.tls,
            timeout=TIMEOUT_S,
            trust_env=False,
        )
        try:
            async with client:
                yield client
        except OAuthError as error:
            if error.error == "invalid_grant":
                raise Refused("invalid_grant") from error
            # a wrong client secret or a rate limit: ours to mend, and no reason to end anybody's session
            raise Unavailable(f"identity provider: {str(error.error)[:64]!r}") from error
        except (httpx2.HTTPError, ValueError) as error:
            raise Unavailable(f"identity provider: {type(error).__name__}") from error

    async def _id_claims(self, tokens: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """The ID token, checked as OpenID Connect Core section 3.1.3.7 asks, the nonce included."""
        try:
            claims = await verified_claims(str(tokens.get("id_token")), self._jwks, {"JWT", None})
            check_registered(claims, issuer=self._provider.issuer, audience=self._client_id, now=self._clock())
            params = {"nonce": nonce, "client_id": self._client_id, "access_token": tokens.get("access_token")}
            header = {"alg": "RS256"}
            CodeIDToken(claims, header, None, params).validate(now=int(self._clock()), leeway=LEEWAY_S)
        except (InvalidToken, BadClaims, JoseError) as error:
            raise Refused(f"id token: {error}") from error
        return claims

    async def _session(self, tokens: Mapping[str, Any], id_claims: Mapping[str, Any]) -> Session:
        access_token = tokens.get("access_token")
        if not isinstance(access_token, str) or not access_token:
            raise Refused("no access token")
        expires_at = self._clock() + _lifetime_s(tokens)
        user, expires_at = await self._person(access_token, id_claims, expires_at)
        return Session(
            user=user,
            access_token=access_token,
            refresh_token=str(tokens.get("refresh_token") or ""),
            provider_session=str(id_claims.get("sid") or ""),
            access_expires_at=expires_at,
            renew_at=expires_at,
        )

    async def _person(self, access_token: str, id_claims: Mapping[str, Any], expires_at: float) -> tuple[User, float]:
        """Name and address come from the ID token, permissions from the access token, and both speak of one subject."""
        try:
            user = user_of({**id_claims, "exp": expires_at, "permissions": []}, self._id_claim)
            if not self._audience:
                return user, expires_at  # the access token is opaque then, and grants nothing here
            granted = await self._bearer.verify(access_token)
        except (BadClaims, InvalidToken) as error:
            raise Refused(f"access token: {error}") from error
        if granted.sub != user.sub or granted.kind != "person":
            raise Refused("access token of another subject")
        permitted = user.model_copy(update={"permissions": granted.permissions})
        return permitted, min(expires_at, granted.expires_at.timestamp())


def _lifetime_s(tokens: Mapping[str, Any]) -> float:
    try:
        return moment(tokens, "expires_in")
    except BadClaims as error:
        raise Refused("expires_in") from error
