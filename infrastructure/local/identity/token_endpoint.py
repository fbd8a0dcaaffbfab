import base64
import binascii
import hashlib
import json
import secrets
from dataclasses import dataclass
from urllib.parse import unquote_plus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from infrastructure.local.identity.grants import Codes, Family, Grant, RefreshTokens
from infrastructure.local.identity.people import PEOPLE
from infrastructure.local.identity.refusals import TokenRefusal, invalid_grant, unknown_audience
from infrastructure.local.identity.settings import IdentitySettings
from infrastructure.local.identity.tokens import ACCESS_TOKEN_LIFETIME_S, Mint

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749 5.1


class TokenRequest(BaseModel):
    grant_type: str = ""
    client_id: str = ""
    client_secret: str = ""
    code: str = ""
    code_verifier: str = ""
    redirect_uri: str = ""
    refresh_token: str = ""
    audience: str = ""
    scope: str = ""
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """POST /oauth/token: one method for each grant."""

    settings: IdentitySettings
    codes: Codes
    refresh_tokens: RefreshTokens
    mint: Mint

    def answer(self, asked: TokenRequest) -> dict[str, object]:
        self._authenticate(asked)
        match asked.grant_type:
            case "authorization_code":
                return self._authorization_code(asked)
            case "refresh_token":
                return self._for_person(self.refresh_tokens.rotate(asked.refresh_token))
            case "client_credentials":
                return self._client_credentials(asked)
            case "password":
                return self._password(asked)
            case other:
                raise TokenRefusal(403, "unsupported_grant_type", f"Unsupported grant type: {other}")

    def _authenticate(self, asked: TokenRequest) -> None:
        known = asked.client_id == self.settings.client_id
        expected = self.settings.client_secret.get_secret_value().encode()
        if not (secrets.compare_digest(asked.client_secret.encode(), expected) and known):
            raise TokenRefusal(401, "access_denied", "Unauthorized")

    def _authorization_code(self, asked: TokenRequest) -> dict[str, object]:
        challenge = s256(asked.code_verifier)
        return self._for_person(self.codes.redeem(asked.code, redirect_uri=asked.redirect_uri, challenge=challenge))

    def _client_credentials(self, asked: TokenRequest) -> dict[str, object]:
        if asked.audience != self.settings.audience:
            raise TokenRefusal(403, "access_denied", unknown_audience(asked.audience))
        return self._body(self.mint.machine_token(), " ".join(self.settings.machine_permissions))

    def _password(self, asked: TokenRequest) -> dict[str, object]:
        """For curl and self-tests: the password of a demo person is the name. (Auth0 has this grant, off by default.)"""
        person = PEOPLE.get(asked.username)
        if person is None or not secrets.compare_digest(asked.password.encode(), asked.username.encode()):
            raise invalid_grant("Wrong email or password.")
        if asked.audience not in {"", self.settings.audience}:
            raise TokenRefusal(403, "access_denied", unknown_audience(asked.audience))
        grant = Grant(person, frozenset(asked.scope.split()), asked.audience)
        return self._for_person(Family(grant), gty="password")

    def _for_person(self, family: Family, *, gty: str = "") -> dict[str, object]:
        grant = family.grant
        body = self._body(self.mint.person_token(grant, gty=gty), " ".join(sorted(grant.scope)))
        if "openid" in grant.scope:
            body["id_token"] = self.mint.id_token(grant)
        if "offline_access" in grant.scope:
            body["refresh_token"] = self.refresh_tokens.issue(family)
        return body

    @staticmethod
    def _body(access_token: str, scope: str) -> dict[str, object]:
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_LIFETIME_S,
            "scope": scope,
        }


def token_routes(endpoint: TokenEndpoint) -> APIRouter:
    router = APIRouter()

    @router.post("/oauth/token")
    async def token(request: Request) -> JSONResponse:
        return JSONResponse(endpoint.answer(await _read(request)), headers=NO_STORE)

    return router


def s256(verifier: str) -> str:
    """The challenge that belongs to a verifier (RFC 7636 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


async def _read(request: Request) -> TokenRequest:
    """A form, as the RFC says, or JSON, which Auth0 takes as well; the client in the body or by HTTP Basic."""
    try:
        if request.headers.get("content-type", "").startswith("application/json"):
            asked = TokenRequest.model_validate_json(await request.body())
        else:
            asked = TokenRequest.model_validate(dict(await request.form()))
        return asked.model_copy(update=_basic_client(request.headers.get("authorization", "")))
    except (ValidationError, json.JSONDecodeError, binascii.Error, UnicodeDecodeError) as error:
        raise TokenRefusal(400, "invalid_request", "The request cannot be read") from error


def _basic_client(authorization: str) -> dict[str, str]:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return {}
    client_id, _, client_secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    return {"client_id": unquote_plus(client_id), "client_secret": unquote_plus(client_secret)}
