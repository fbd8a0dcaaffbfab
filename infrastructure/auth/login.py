import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

import structlog
from redis.asyncio import Redis

from infrastructure.auth.box import EncryptedBox, Unreadable
from infrastructure.auth.oauth import OAuthClient, Refused
from infrastructure.auth.provider import Metadata, Provider
from infrastructure.auth.sessions import Session, SessionStore, session_key
from infrastructure.redis.client import redis_or_unavailable
from infrastructure.settings import Settings
from schemas.outcomes import Unavailable

log = structlog.get_logger()

PENDING_S = 600
RANDOM_BYTES = 32
MAX_PARAMETER_LENGTH = 4096


@dataclass(frozen=True)
class Callback:
    """What the browser brought back from the provider (RFC 6749 section 4.1.2, RFC 9207)."""

    code: str = ""
    state: str = ""
    error: str = ""
    issuer: str = ""


@dataclass(frozen=True)
class LoggedIn:
    session: Session
    next_path: str


class LoginClient:
    """A login from the first redirect to the tokens. What must come back is kept in Redis, once, for ten minutes.

    The entry is found by `state` and belongs to one browser: without that, an attacker's login could be finished in a
    victim's browser (RFC 9700 section 4.7; authlib GHSA-fg6f-75jq-6523).
    """

    def __init__(
        self,
        settings: Settings,
        provider: Provider,
        oauth: OAuthClient,
        redis: Redis,
        box: EncryptedBox,
        store: SessionStore,
    ) -> None:
        self._client_id, self._provider, self._oauth = settings.auth0_client_id, provider, oauth
        self._redis, self._box, self._store = redis, box, store

    async def check(self) -> None:
        """To be called at start: raises `UntrustedProvider` if the provider is not the configured one.

        A provider that is merely away stops nobody from starting: bearer tokens and keys do not need it yet.
        """
        try:
            await self._provider.metadata()
        except Unavailable as error:
            log.warning("login.provider_away", reason=str(error))

    async def begin(self, next_path: str, browser: str) -> str:
        """The address of the provider's page for this browser's login."""
        state, nonce = secrets.token_urlsafe(RANDOM_BYTES), secrets.token_urlsafe(RANDOM_BYTES)
        challenge = await self._oauth.challenge(state, nonce, secrets.token_urlsafe(48))
        pending = {"browser": _hash(browser), "nonce": nonce, "verifier": challenge.verifier, "next": next_path}
        await self._put(_pending_key(state), pending)
        return challenge.url

    async def complete(self, callback: Callback, browser: str) -> LoggedIn:
        """The session of a login that this browser began. Whatever the end, its state is spent. Raises `Refused`."""
        pending = await self._spend(callback.state)
        if pending is None:
            await self._revoke_if_stolen(callback.state, browser)
            raise Refused("unknown state")
        if not hmac.compare_digest(pending["browser"], _hash(browser)):
            raise Refused("another browser")
        self._check(callback, await self._provider.metadata())
        session = await self._oauth.redeem(callback.code, verifier=pending["verifier"], nonce=pending["nonce"])
        return LoggedIn(self._store.with_times(session), pending["next"])

    async def remember(self, callback: Callback, browser: str, cookie: str) -> None:
        """Notes which session a state led to, so that its reuse elsewhere can end it."""
        await self._put(_spent_key(callback.state), {"browser": _hash(browser), "session": session_key(cookie)})

    async def revoke(self, session: Session) -> None:
        """Ends the grant at the provider as well; that it is away must not keep anybody logged in here."""
        try:
            if session.refresh_token:
                await self._oauth.revoke(session.refresh_token)
        except (Unavailable, Refused) as error:
            log.warning("login.not_revoked", reason=str(error))

    async def logout_url(self, return_to: str, provider_session: str = "") -> str:
        """Where the browser ends its session with the provider.

        RP-initiated logout if the provider announces it; Auth0 tenants from before 14 November 2023 know /v2/logout only.
        """
        try:
            endpoint = (await self._provider.metadata()).end_session_endpoint
        except Unavailable:
            return return_to  # our own session has ended all the same
        if not endpoint:
            query = urlencode({"client_id": self._client_id, "returnTo": return_to})
            return f"{self._provider.issuer}v2/logout?{query}"
        hint = {"logout_hint": provider_session} if provider_session else {}
        query = urlencode({"client_id": self._client_id, "post_logout_redirect_uri": return_to, **hint})
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    def _check(self, callback: Callback, metadata: Metadata) -> None:
        issuer_expected = metadata.authorization_response_iss_parameter_supported or callback.issuer
        if issuer_expected and callback.issuer != metadata.issuer:
            raise Refused("another issuer")  # RFC 9207 section 2.4
        if callback.error:
            raise Refused("the provider answered with an error")
        if not 0 < len(callback.code) <= MAX_PARAMETER_LENGTH:
            raise Refused("no code")

    async def _revoke_if_stolen(self, state: str, browser: str) -> None:
        """A spent state that comes again from elsewhere was stolen: end what it opened (RFC 6749 section 4.1.2)."""
        spent = await self._get(_spent_key(state), delete=False)
        if spent and not hmac.compare_digest(spent["browser"], _hash(browser)):
            log.warning("login.code_reused")
            session = await self._store.read_key(spent["session"])
            await self._store.delete_key(spent["session"])
            if session:
                await self.revoke(session)

    async def _spend(self, state: str) -> dict[str, str] | None:
        return await self._get(_pending_key(state), delete=True)

    async def _put(self, key: str, entry: dict[str, str]) -> None:
        with redis_or_unavailable():
            await self._redis.set(key, self._box.seal(json.dumps(entry).encode(), key.encode()), ex=PENDING_S)

    async def _get(self, key: str, *, delete: bool) -> dict[str, str] | None:
        with redis_or_unavailable():
            sealed = await (self._redis.getdel(key) if delete else self._redis.get(key))
        if not isinstance(sealed, bytes):
            return None
        try:
            entry: dict[str, str] = json.loads(self._box.open(sealed, key.encode()))
        except Unreadable:
            return None
        return entry


def new_browser() -> str:
    """A value for the cookie that ties a login to the browser which began it."""
    return secrets.token_urlsafe(RANDOM_BYTES)


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()


def _pending_key(state: str) -> str:
    return f"carillon:login:{_hash(state)}"


def _spent_key(state: str) -> str:
    return f"carillon:login:{_hash(state)}:spent"
