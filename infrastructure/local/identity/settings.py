from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from infrastructure.local.loopback import refuse_unless_local


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """What an Auth0 tenant knows about one application and one API."""

    issuer: str
    client_id: str
    client_secret: SecretStr
    audience: str
    callback_urls: tuple[str, ...]
    logout_urls: tuple[str, ...]
    key_dir: Path
    deployment: str
    host: str = "127.0.0.1"
    machine_permissions: tuple[str, ...] = ("notifications:send", "notifications:broadcast")
    # the switches of a tenant whose position a client must not depend on
    rbac: bool = True
    end_session_in_discovery: bool = True
    access_token_profile: Literal["auth0", "rfc9068"] = "auth0"  # noqa: S105 - the name of a dialect
    refresh_overlap_s: float = 0.0

    def __post_init__(self) -> None:
        refuse_unless_local("identity provider", host=self.host, deployment=self.deployment)
        if not self.issuer.endswith("/"):
            raise ValueError(f"AUTH0_ISSUER ends with a slash, as Auth0 writes it: {self.issuer}/")
        if not self.client_secret.get_secret_value():
            raise ValueError("AUTH0_CLIENT_SECRET is empty: the local stack writes one, or run `openssl rand -hex 32`")
        if not self.logout_urls:
            raise ValueError("At least one logout URL is needed: it is where /v2/logout leads without returnTo")

    @property
    def userinfo_url(self) -> str:
        return f"{self.issuer}userinfo"
