"""The API's login, the local identity provider and an in-memory Redis in one process, with browsers to visit them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from fakeredis import FakeAsyncRedis, FakeServer
from fastapi import Depends, FastAPI, WebSocket
from pydantic import SecretStr

from api.auth import CurrentUser, requires, user_of_socket
from api.envelope import ok
from api.problems import install_problems
from api.routes.auth import router
from infrastructure.auth.api_keys import KeyVerifier
from infrastructure.auth.bearer import BearerVerifier
from infrastructure.auth.credentials import open_credentials
from infrastructure.auth.keyring import Keyring, key_hash
from infrastructure.auth.login import LoginClient
from infrastructure.auth.renewal import LiveSessions
from infrastructure.auth.service_tokens import ServiceTokens
from infrastructure.auth.user import User
from infrastructure.local.identity.app import identity_app
from infrastructure.local.identity.settings import IdentitySettings
from infrastructure.redis.rate_limit import RateLimiter
from infrastructure.settings import Settings
from tests.fakes.keys import FakeKeys

IDENTITY = "http://localhost:8001/"
BASE_URL = "http://localhost:8000"
SECRET = "identity-secret"
AUDIENCE = "https://carillon.local/api"
CLIENT_ID = "carillon-local"


@dataclass
class Resources:
    settings: Settings
    sessions: LiveSessions
    login: LoginClient
    bearer: BearerVerifier
    keys: KeyVerifier
    keyring: Keyring
    limiter: RateLimiter
    service_tokens: ServiceTokens


@dataclass
class Network:
    """The way to the provider. A test may cut it, count on it, or change what comes back."""

    inner: httpx2.AsyncBaseTransport
    asked: list[str] = field(default_factory=list)
    away: bool = False
    meddle: Callable[[httpx2.Request, httpx2.Response], httpx2.Response] | None = None

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        if self.away:
            raise httpx2.ConnectError("refused", request=request)
        self.asked.append(request.url.path)
        response = await self.inner.handle_async_request(request)
        if self.meddle:
            await response.aread()
            return self.meddle(request, response)
        return response


@dataclass
class World:
    app: FastAPI
    redis: FakeAsyncRedis
    server: FakeServer
    network: Network
    learned: list[User]

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Somebody with cookies of their own."""
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url=BASE_URL) as browser:
            yield browser

    async def callback_for(self, browser: httpx2.AsyncClient, person: str = "ana", next_path: str = "/") -> str:
        """Begins a login in this browser, chooses a person, and stops before the way back is taken."""
        begun = await browser.get("/api/v1/auth/login", params={"next": next_path})
        assert begun.status_code == 303, begun.text
        asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
        async with httpx2.AsyncClient(transport=self.network.inner, base_url=IDENTITY) as page:
            decided = await page.post("/authorize/decision", data={**asked, "person": person})
        return str(decided.headers["location"])

    async def log_in(self, browser: httpx2.AsyncClient, person: str = "ana", next_path: str = "/") -> httpx2.Response:
        return await browser.get(await self.callback_for(browser, person, next_path))


def a_world(tmp_path: Path, **tenant: Any) -> World:
    settings = Settings(
        _env_file=None,
        deployment="local",
        app_secret_key=SecretStr("a" * 64),
        auth0_issuer=IDENTITY,
        auth0_client_id=CLIENT_ID,
        auth0_client_secret=SecretStr(SECRET),
        auth0_audience=AUDIENCE,
    )
    network = Network(httpx2.ASGITransport(identity_app(_identity(tmp_path, tenant))))
    server = FakeServer()
    redis = FakeAsyncRedis(server=server)
    credentials = open_credentials(settings, redis, httpx2.MockTransport(network.answer))
    app, learned = FastAPI(), []
    table = FakeKeys()
    app.state.resources = Resources(
        settings,
        credentials.sessions,
        credentials.login,
        credentials.bearer,
        KeyVerifier(table, key_hash(settings), settings.environments),
        Keyring(table, key_hash(settings)),
        RateLimiter(redis),
        ServiceTokens(settings),
    )

    async def learn(user: User) -> None:
        learned.append(user)

    app.state.on_login = learn
    _routes(app)
    return World(app, redis, server, network, learned)


def _identity(tmp_path: Path, tenant: dict[str, Any]) -> IdentitySettings:
    return IdentitySettings(
        issuer=IDENTITY,
        client_id=CLIENT_ID,
        client_secret=SecretStr(SECRET),
        audience=AUDIENCE,
        callback_urls=(f"{BASE_URL}/api/v1/auth/callback",),
        logout_urls=(f"{BASE_URL}/",),
        key_dir=tmp_path,
        deployment="local",
        **tenant,
    )


def _routes(app: FastAPI) -> None:
    install_problems(app)
    app.include_router(router)

    @app.post("/api/v1/write")
    async def write(user: CurrentUser) -> dict[str, Any]:
        return ok(user.id)

    @app.get("/api/v1/operate")
    async def operate(user: Annotated[User, Depends(requires("ops:read"))]) -> dict[str, Any]:
        return ok(user.id)

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        user = await user_of_socket(websocket)
        await websocket.accept()
        await websocket.send_text(user.id if user else "nobody")
        await websocket.close()
