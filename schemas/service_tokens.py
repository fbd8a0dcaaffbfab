"""Tokens that services sign with a secret they share with us, as the older gateway took them: the pure rules about them.

Such a token is for programs alone. Who may come in and what each may do stands in the settings; a token only names one.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import Field

from schemas.api_keys import Producer

ServiceAlgorithm = Literal["HS256", "HS384", "HS512"]
# Nothing else can be granted: whoever has the shared secret can be any of the services.
ServicePermission = Literal["notifications:send", "notifications:broadcast"]
Services = Mapping[Producer, Annotated[tuple[ServicePermission, ...], Field(min_length=1)]]
"""Producer name, as the token's `sub` says it, and what it may do."""

# RFC 7518 section 3.2: at least as long as what the hash gives, or guessing the secret is easier than the signature
SHORTEST_SECRET: Mapping[ServiceAlgorithm, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
_KEY_MATERIAL = ("-----BEGIN", "ssh-rsa", "ssh-ed25519", '{"kty"')


def weakness_of(secret: str, algorithm: ServiceAlgorithm, other_secrets: Collection[str]) -> str | None:
    """Why this is no secret to trust tokens by; None for one that will do, and for none at all."""
    if not secret:
        return None
    shortest = SHORTEST_SECRET[algorithm]
    if len(secret.encode()) < shortest:
        return f"must be at least {shortest} random bytes for {algorithm}: openssl rand -hex {shortest}"
    if len(set(secret)) < 8:
        return "repeats a few characters; take random ones: openssl rand -hex 32"
    if secret.lstrip().startswith(_KEY_MATERIAL):
        return "is the text of a key, which others may know; take random characters: openssl rand -hex 32"
    if secret in other_secrets:
        return "is another setting's secret; whoever knows that one could sign tokens"
    return None
