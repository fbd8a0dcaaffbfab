"""What we know of the identity provider, and the one careful way to ask it for a document."""

import json
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ValidationError

from infrastructure.settings import LOOPBACK
from schemas.outcomes import Unavailable

MAX_DOCUMENT_BYTES = 100_000
TIMEOUT_S = 5.0
DISCOVERY_PATH = ".well-known/openid-configuration"


class UntrustedProvider(Exception):
    """The provider's documents contradict the settings. Nobody can log in until one of them is put right."""


class Metadata(BaseModel):
    """OpenID Connect Discovery 1.0 section 3, as far as we use it."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    revocation_endpoint: str | None = None
    end_session_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False


class Provider:
    """The issuer's discovery document, read once; every address in it is https, except on loopback."""

    def __init__(self, issuer: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        refuse_plain_http(issuer)
        self.issuer, self.transport = issuer, transport
        self.tls = ssl.create_default_context()
        self._metadata: Metadata | None = None

    async def metadata(self) -> Metadata:
        """Raises `Unavailable` while the provider is away, `UntrustedProvider` if it is another one than configured."""
        if self._metadata is None:
            self._metadata = self._checked(await self.document(self.issuer + DISCOVERY_PATH))
        return self._metadata

    async def document(self, url: str) -> Any:
        """A small JSON document: no redirects, bounded in size and time."""
        options = {"follow_redirects": False, "timeout": TIMEOUT_S, "trust_env": False}
        try:
            async with httpx2.AsyncClient(transport=self.transport, verify=self.tls, **options) as http:  # type: ignore[arg-type]
                return json.loads(await _body(http, url))
        except (httpx2.HTTPError, ValueError, RecursionError) as error:
            raise Unavailable(f"identity provider: {type(error).__name__}") from error

    def _checked(self, document: Any) -> Metadata:
        try:
            metadata = Metadata.model_validate(document)
        except ValidationError as error:
            raise UntrustedProvider("The discovery document lacks an address that a login needs") from error
        if metadata.issuer != self.issuer:
            # OpenID Connect Discovery 1.0 section 4.3: exactly, a trailing slash included
            raise UntrustedProvider(f"AUTH0_ISSUER is {self.issuer}, the provider calls itself {metadata.issuer}")
        for address in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
            refuse_plain_http(address)
        for optional in (metadata.revocation_endpoint, metadata.end_session_endpoint):
            if optional:
                refuse_plain_http(optional)
        return metadata


def refuse_plain_http(address: str) -> None:
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not local and not (parts.scheme == "https" and parts.hostname):
        raise UntrustedProvider(f"AUTH0_DOMAIN or AUTH0_ISSUER must name an https address, not {address!r}")


async def _body(http: httpx2.AsyncClient, url: str) -> bytes:
    async with http.stream("GET", url, headers={"Accept": "application/json"}) as response:
        if response.status_code != httpx2.codes.OK:
            raise ValueError(f"HTTP {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ValueError("document too large")
    return bytes(body)
