"""`python -m infrastructure.local.services`: identity provider, provider sandbox and mail sink in one process."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from infrastructure.local.identity import IdentitySettings, identity_app
from infrastructure.local.loopback import LOOPBACK_HOSTS, NotLocal
from infrastructure.local.sandbox import Reception, SandboxSettings, listen_for_mail, sandbox_app
from infrastructure.local.sandbox.calls import CallLog
from infrastructure.local.sandbox.connection import AbortableProtocol
from infrastructure.local.sandbox.faults import FaultBoard

HOST = "127.0.0.1"


class ServiceSettings(BaseSettings):
    """The stack's own variables beside the product's AUTH0_* and PORT."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    deployment: Literal["local", "production"] = "production"
    port: int = Field(default=8000, ge=1, le=65535)
    idp_port: int = Field(default=8002, ge=1, le=65535)
    idp_data: Path = Path(".local/identity")
    sandbox_port: int = Field(default=8003, ge=1, le=65535)
    sandbox_smtp_port: int = Field(default=8025, ge=1, le=65535)
    sandbox_backup_smtp_port: int = Field(default=8026, ge=1, le=65535)
    sandbox_ledger: Path | None = None
    auth0_domain: str = ""
    auth0_issuer: str = ""
    auth0_client_id: str = "carillon-local"
    auth0_client_secret: SecretStr = SecretStr("")
    auth0_audience: str = "https://carillon.local/api"

    @property
    def origins(self) -> tuple[str, ...]:
        return (f"http://localhost:{self.port}", f"http://127.0.0.1:{self.port}")

    @property
    def real_tenant(self) -> bool:
        """A real Auth0 tenant is configured: its secret is none of the stand-in's business."""
        return bool(self.auth0_domain) and urlsplit(f"//{self.auth0_domain}").hostname not in LOOPBACK_HOSTS

    def identity(self) -> IdentitySettings | None:
        if self.real_tenant:
            return None
        return IdentitySettings(
            issuer=self.auth0_issuer or f"http://localhost:{self.idp_port}/",
            client_id=self.auth0_client_id,
            client_secret=self.auth0_client_secret,
            audience=self.auth0_audience,
            callback_urls=tuple(f"{origin}/api/v1/auth/callback" for origin in self.origins),
            # Auth0 compares character by character, so the address stands here with its slash and without.
            logout_urls=tuple(f"{origin}{slash}" for origin in self.origins for slash in ("/", "")),
            key_dir=self.idp_data,
            deployment=self.deployment,
            host=HOST,
        )

    def sandbox(self) -> SandboxSettings:
        return SandboxSettings(self.deployment, HOST, self.sandbox_ledger, self.origins)


class _Server(uvicorn.Server):
    """One of several in this loop: signals belong to the process, and it says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextlib.asynccontextmanager
async def _served(app: FastAPI, bound: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,
        http=AbortableProtocol,
        log_level="warning",
        access_log=False,
        lifespan="off",
        # Whoever is kept waiting by a `hang` does not keep the process from ending.
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([bound]))
    await server.listening.wait()
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _bind(port: int, variable: str) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise OSError(
            f"{variable}={port} cannot be used ({error.strerror}): stop what listens there or choose another"
        ) from error


async def serve(settings: ServiceSettings) -> None:
    """Serve all of it until SIGTERM or SIGINT; prints `ready` when all listen."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    identity, sandbox = settings.identity(), settings.sandbox()
    reception = Reception(CallLog(sandbox.ledger), FaultBoard())
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(reception.calls.close)
        mail = await listen_for_mail(reception, _bind(settings.sandbox_smtp_port, "SANDBOX_SMTP_PORT"))
        stack.callback(mail.close)
        bound = _bind(settings.sandbox_backup_smtp_port, "SANDBOX_BACKUP_SMTP_PORT")
        stack.callback((await listen_for_mail(reception, bound, "email_backup")).close)
        if identity is not None:
            await stack.enter_async_context(_served(identity_app(identity), _bind(settings.idp_port, "IDP_PORT")))
        await stack.enter_async_context(
            _served(sandbox_app(sandbox, reception), _bind(settings.sandbox_port, "SANDBOX_PORT"))
        )
        stack.callback(reception.calls.end_following)
        print("ready", flush=True)
        await stopping.wait()


def main() -> None:
    try:
        asyncio.run(serve(ServiceSettings()))
    except (NotLocal, OSError, ValueError) as error:
        sys.exit(f"The local services cannot start: {error}")


if __name__ == "__main__":
    main()
