import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Set
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.util import urlsafe_b64decode

from infrastructure.auth.jwks import Jwks, UnknownKey
from infrastructure.auth.user import BadClaims, User, moment, user_of

MAX_TOKEN_LENGTH = 8192
LEEWAY_S = 30
REMEMBERED_S = 60
REMEMBERED_TOKENS = 10_000
ACCESS_TOKEN_TYPES: Set[str | None] = {"JWT", "at+jwt", "application/at+jwt"}  # Auth0's profile; RFC 9068 section 4
# Nothing that brings or points to a key (jwk, jku, x5u, x5c), changes the reading (crit, b64, zip) or is unknown to us.
HEADERS = {"alg", "typ", "kid", "x5t"}
ID_TOKEN_CLAIMS = {"nonce", "at_hash", "c_hash"}


class InvalidToken(Exception):
    """Not a token to act upon. The reason is for our log; callers hear only that it is invalid."""


class BearerVerifier:
    """Access tokens of the provider for our API (RFC 8725): RS256 only, this issuer, this audience, now."""

    def __init__(
        self, jwks: Jwks, issuer: str, audience: str, id_claim: str = "sub", clock: Callable[[], float] = time.time
    ) -> None:
        self._jwks, self._issuer, self._audience, self._id_claim = jwks, issuer, audience, id_claim
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[User, float]] = OrderedDict()

    async def verify(self, token: str) -> User:
        """Whom the token speaks of. Raises `InvalidToken`, or `Unavailable` if there is no key to check it with."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        remembered = self._remembered.get(digest)
        if remembered and self._clock() < remembered[1]:
            self._remembered.move_to_end(digest)
            return remembered[0]
        user = await self._verify_anew(token)
        self._remember(digest, user)
        return user

    async def _verify_anew(self, token: str) -> User:
        claims = await verified_claims(token, self._jwks, ACCESS_TOKEN_TYPES)
        try:
            check_registered(claims, issuer=self._issuer, audience=self._audience, now=self._clock())
            if not ID_TOKEN_CLAIMS.isdisjoint(claims):
                raise InvalidToken("an ID token is no access token")
            return user_of(claims, self._id_claim)
        except BadClaims as error:
            raise InvalidToken(f"claim {error}") from error

    def _remember(self, digest: bytes, user: User) -> None:
        now = self._clock()
        self._remembered[digest] = (user, min(user.expires_at.timestamp(), now + REMEMBERED_S))
        self._remembered.move_to_end(digest)
        while len(self._remembered) > REMEMBERED_TOKENS:
            self._remembered.popitem(last=False)


async def verified_claims(token: str, jwks: Jwks, types: Set[str | None]) -> dict[str, Any]:
    """The claims of a token signed with RS256 by a key of the provider; every check that needs no key comes first."""
    header = read_header(token)
    if header.get("alg") != "RS256":
        raise InvalidToken("algorithm")
    if header.get("typ") not in types:
        raise InvalidToken("type")
    if not HEADERS.issuperset(header):
        raise InvalidToken("header parameter")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise InvalidToken("key id")
    try:
        signature = jws.deserialize_compact(token, await jwks.key(kid), algorithms=["RS256"])
        claims = json.loads(signature.payload)
    except (UnknownKey, JoseError, ValueError, RecursionError) as error:
        raise InvalidToken(type(error).__name__) from error
    if not isinstance(claims, dict):
        raise InvalidToken("payload")
    return claims


def check_registered(claims: Mapping[str, Any], *, issuer: str, audience: str, now: float) -> None:
    """Issuer, audience and times (RFC 7519 section 4.1). An empty audience in the settings fits no token."""
    if claims.get("iss") != issuer:
        raise InvalidToken("issuer")
    check_audience(claims, audience)
    if moment(claims, "exp") <= now - LEEWAY_S:
        raise InvalidToken("expired")
    if moment(claims, "iat") > now + LEEWAY_S:
        raise InvalidToken("issued in the future")
    if "nbf" in claims and moment(claims, "nbf") > now + LEEWAY_S:
        raise InvalidToken("not valid yet")


def check_audience(claims: Mapping[str, Any], audience: str) -> None:
    if not audience or audience not in _audiences(claims.get("aud")):
        raise InvalidToken("audience")


def _audiences(aud: Any) -> list[str]:
    listed = [aud] if isinstance(aud, str) else aud
    return listed if isinstance(listed, list) and all(isinstance(each, str) for each in listed) else []


def read_header(token: str) -> dict[str, Any]:
    """What a token says of itself; nobody has vouched for it yet."""
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii() or token.count(".") != 2:
        raise InvalidToken("shape")
    try:
        header = json.loads(urlsafe_b64decode(token.split(".", 1)[0].encode()))
    except (ValueError, RecursionError) as error:
        raise InvalidToken("header") from error
    if not isinstance(header, dict):
        raise InvalidToken("header")
    return header
