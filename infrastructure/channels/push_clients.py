"""What push services are called with: credentials read once, and clients of their own beside the common one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from joserfc.errors import JoseError
from pydantic import ValidationError

from infrastructure.channels.apns import Apns, ApnsKey, ApnsTokens
from infrastructure.channels.fcm import Fcm, FcmTokens, ServiceAccount
from infrastructure.channels.guarded import guarded_client
from infrastructure.channels.vapid import BadVapidKey, vapid_of
from infrastructure.channels.web_push import WebPush
from infrastructure.ports import Provider
from infrastructure.settings import Settings
from schemas.outcomes import Unavailable

# Apple opens about a thousand streams on a connection; a few of ours at once are enough, and one that ends costs few calls
_APNS_CONNECTIONS = 4


@dataclass(frozen=True)
class PushClients:
    """What is not configured is None, and its devices are skipped with `no_such_target`."""

    guarded: httpx2.AsyncClient
    multiplexed: httpx2.AsyncClient
    fcm: FcmTokens | None = None
    fcm_project: str = ""
    apns: ApnsTokens | None = None


@asynccontextmanager
async def open_push_clients(settings: Settings) -> AsyncIterator[PushClients]:
    """Raises `Unavailable` with a sentence when a credential cannot be read."""
    async with AsyncExitStack() as stack:
        guarded = await stack.enter_async_context(guarded_client(settings.provider_timeout_s, settings.local_sandbox))
        multiplexed = await stack.enter_async_context(
            httpx2.AsyncClient(
                http2=True,
                timeout=settings.provider_timeout_s,
                follow_redirects=False,
                limits=httpx2.Limits(max_connections=_APNS_CONNECTIONS),
            )
        )
        account = _service_account(settings.fcm_credentials_file)
        tokens = await stack.enter_async_context(_fcm_tokens(settings, account)) if account else None
        _check_vapid(settings)
        yield PushClients(guarded, multiplexed, tokens, account.project_id if account else "", _apns_tokens(settings))


def push_providers(settings: Settings, http: httpx2.AsyncClient, clients: PushClients) -> Iterator[Provider]:
    """One for each kind of device this deployment can reach."""
    key = settings.vapid_private_key.get_secret_value()
    if key:
        yield WebPush(clients.guarded, key, settings.vapid_subject, settings.web_push_hosts, local=settings.local_sandbox)
    if clients.fcm is not None:
        yield Fcm(http, clients.fcm, settings.fcm_api_url, clients.fcm_project)
    if clients.apns is not None:
        yield Apns(clients.multiplexed, clients.apns, settings.apns_url, settings.apns_topic)


def _service_account(file: str) -> ServiceAccount | None:
    if not file:
        return None
    try:
        return ServiceAccount.model_validate_json(Path(file).read_bytes())
    except OSError as error:
        raise Unavailable(f"FCM_CREDENTIALS_FILE={file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise Unavailable(f"FCM_CREDENTIALS_FILE={file} is no file of a service account") from error


def _fcm_tokens(settings: Settings, account: ServiceAccount) -> FcmTokens:
    try:
        return FcmTokens(account, settings.provider_timeout_s)
    except (JoseError, ValueError) as error:
        raise Unavailable(f"FCM_CREDENTIALS_FILE={settings.fcm_credentials_file} holds no private key") from error


def _apns_tokens(settings: Settings) -> ApnsTokens | None:
    file = settings.apns_key_file
    if not file:
        return None
    try:
        return ApnsTokens(ApnsKey(Path(file).read_text(encoding="ascii"), settings.apns_key_id, settings.apns_team_id))
    except OSError as error:
        raise Unavailable(f"APNS_KEY_FILE={file} cannot be read: {error.strerror}") from error
    except (JoseError, ValueError) as error:
        raise Unavailable(f"APNS_KEY_FILE={file} holds no signing key (.p8)") from error


def _check_vapid(settings: Settings) -> None:
    try:
        if settings.vapid_private_key.get_secret_value():
            vapid_of(settings.vapid_private_key.get_secret_value())
    except BadVapidKey as error:
        raise Unavailable(str(error)) from error
