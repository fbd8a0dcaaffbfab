"""Processes of the product for tests and benchmarks: what they are told, how they start, when they are ready."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr

from api.main import create_app
from infrastructure.local.addresses import Addresses, Elsewhere
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Child, Processes
from infrastructure.local.push_keys import push_variables
from infrastructure.local.stack import Ports
from infrastructure.local.wiring import RunPorts, local_variables
from infrastructure.settings import Settings

ROOT = Path(__file__).parent.parent


def product_variables(addresses: Addresses, folder: Path) -> dict[str, str]:
    """What every process is told; everything on ports of its own."""
    ports = RunPorts(
        api=any_free_port(),
        stack=Ports(),
        identity_provider=any_free_port(),
        sandbox=any_free_port(),
        sandbox_smtp=any_free_port(),
        sandbox_backup_smtp=any_free_port(),
        workers=any_free_port(),
    )
    kept = {"APP_SECRET_KEY": "k" * 64, "AUTH0_CLIENT_SECRET": "s" * 64}
    told = local_variables(ports, addresses, Elsewhere(), kept)
    return {
        **told,
        **push_variables(folder / "push", told["SANDBOX_URL"], {}),
        "IDP_DATA": str(folder / "identity"),
        "SANDBOX_LEDGER": str(folder / "provider-calls.jsonl"),
        "ERASURE_SWEEPS_S": "2,5",
    }


async def start_module(
    processes: Processes, name: str, *module: str, variables: Mapping[str, str], extra: Mapping[str, str] | None = None
) -> Child:
    """A process of the product, as `python -m` starts it."""
    env = {**os.environ, **variables, **(extra or {}), "PYTHONUNBUFFERED": "1"}
    return await processes.start(name, [sys.executable, "-m", *module], cwd=ROOT, env=env)


async def start_services(processes: Processes, variables: Mapping[str, str]) -> Child:
    """The identity provider and the provider sandbox, listening."""
    child = await start_module(processes, "services", "infrastructure.local.services", variables=variables)

    async def ready() -> bool:
        return "ready" in child.output.splitlines()

    await child.until(ready)
    return child


async def answers_ready(port: str | int) -> bool:
    try:
        async with httpx2.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
    except httpx2.HTTPError:
        return False


def an_app() -> FastAPI:
    """The API's application as it is made everywhere, not started: it connects to nothing."""
    return create_app(Settings(_env_file=None, deployment="local", app_secret_key=SecretStr("k" * 64)))
