from dataclasses import dataclass

import httpx2
from redis.asyncio import Redis

from infrastructure.auth.bearer import BearerVerifier
from infrastructure.auth.box import EncryptedBox
from infrastructure.auth.jwks import Jwks
from infrastructure.auth.login import LoginClient
from infrastructure.auth.oauth import OAuthClient
from infrastructure.auth.provider import Provider
from infrastructure.auth.renewal import LiveSessions
from infrastructure.auth.sessions import SessionStore
from infrastructure.settings import Settings


@dataclass(frozen=True)
class Credentials:
    """The parts that know who somebody is. They share one provider, so its documents are fetched once."""

    sessions: LiveSessions
    login: LoginClient
    bearer: BearerVerifier


def open_credentials(settings: Settings, redis: Redis, transport: httpx2.AsyncBaseTransport | None = None) -> Credentials:
    """Connects to nothing yet. `transport` stands for the network to the provider, where that is in the same process."""
    provider = Provider(settings.issuer, transport)
    jwks = Jwks(provider)
    bearer = BearerVerifier(jwks, settings.issuer, settings.auth0_audience, settings.user_id_claim)
    oauth = OAuthClient(settings, provider, jwks, bearer)
    secrets = (settings.app_secret_key, settings.app_secret_key_previous)
    box = EncryptedBox(*(secret.get_secret_value() for secret in secrets))
    store = SessionStore(redis, box, settings.session_ttl_s)
    login = LoginClient(settings, provider, oauth, redis, box, store)
    return Credentials(LiveSessions(store, oauth, redis), login, bearer)
