from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from joserfc.jwk import RSAKey

from infrastructure.local.identity.keys import public_jwks
from infrastructure.local.identity.settings import IdentitySettings
from infrastructure.local.identity.tokens import Mint


def discovery_routes(settings: IdentitySettings, key: RSAKey, mint: Mint) -> APIRouter:
    router = APIRouter()

    @router.get("/.well-known/openid-configuration")
    async def configuration() -> dict[str, object]:
        return openid_configuration(settings)

    @router.get("/.well-known/jwks.json")
    async def jwks() -> dict[str, object]:
        return public_jwks(key)

    @router.api_route("/userinfo", methods=["GET", "POST"])
    async def userinfo(request: Request) -> JSONResponse:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = mint.person_behind(token) if scheme.lower() == "bearer" else None
        if found is None:
            return JSONResponse({"error": "invalid_token"}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        person, scope = found
        return JSONResponse({"sub": person.sub, **person.claims(scope)}, headers={"Cache-Control": "no-store"})

    return router


def openid_configuration(settings: IdentitySettings) -> dict[str, object]:
    """OpenID Connect Discovery 1.0, section 3, with Auth0's paths."""
    issuer = settings.issuer
    end_session = {"end_session_endpoint": f"{issuer}oidc/logout"} if settings.end_session_in_discovery else {}
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}authorize",
        "token_endpoint": f"{issuer}oauth/token",
        "userinfo_endpoint": settings.userinfo_url,
        "jwks_uri": f"{issuer}.well-known/jwks.json",
        **end_session,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", "password"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["aud", "email", "email_verified", "exp", "iat", "iss", "name", "nickname", "sub"],
    }
