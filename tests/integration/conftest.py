"""Who knocks: demo people with their tokens; and how providers behave."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from infrastructure.auth.keyring import Keyring, key_hash
from infrastructure.resources import Resources
from schemas.api_keys import PERMISSIONS, NewKey
from tests.tokens import bearer, token_of

TokenOf = Callable[[str], Awaitable[dict[str, str]]]
Fault = Callable[..., Awaitable[None]]
Shell = Callable[[str], Awaitable[str]]


@pytest_asyncio.fixture(scope="session")
async def bearer_of(sandbox: object, variables: Mapping[str, str]) -> TokenOf:
    """The Authorization header of a demo person."""
    known: dict[str, dict[str, str]] = {}

    async def headers(person: str) -> dict[str, str]:
        if person not in known:
            known[person] = bearer(await token_of(variables, person))
        return known[person]

    return headers


@pytest_asyncio.fixture(scope="session")
async def ana(api: str, bearer_of: TokenOf) -> AsyncIterator[httpx2.AsyncClient]:
    """Ana's program: every request carries her token."""
    async with httpx2.AsyncClient(base_url=api, headers=await bearer_of("ana"), timeout=30) as client:
        yield client


@pytest_asyncio.fixture(scope="session")
async def ben(api: str, bearer_of: TokenOf) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=api, headers=await bearer_of("ben"), timeout=30) as client:
        yield client


@pytest_asyncio.fixture(scope="session")
async def olga(api: str, bearer_of: TokenOf) -> AsyncIterator[httpx2.AsyncClient]:
    """The operator's program."""
    async with httpx2.AsyncClient(base_url=api, headers=await bearer_of("olga"), timeout=30) as client:
        yield client


@pytest_asyncio.fixture
async def fault(sandbox: httpx2.AsyncClient) -> AsyncIterator[Fault]:
    """`fault("email", mode="error", times=2)`; every provider is well again afterwards."""

    async def behave(provider: str, **how: Any) -> None:
        (await sandbox.put(f"/faults/{provider}", json=how)).raise_for_status()

    yield behave
    for provider in ("email", "slack"):
        await behave(provider, mode="ok")


@pytest.fixture
def shell(api: str, bearer_of: TokenOf, resources: Resources, tmp_path: Path) -> Shell:
    """A reader of the documentation: `make run` has left Ana's token, and somebody has made them a key."""

    async def run(script: str) -> str:
        """What the commands print; they have to succeed."""
        (tmp_path / ".local").mkdir(exist_ok=True)
        token = (await bearer_of("ana"))["Authorization"].removeprefix("Bearer ")
        (tmp_path / ".local/token").write_text(token, encoding="utf-8")
        ring = Keyring(resources.stores.api_keys, key_hash(resources.settings))
        wanted = NewKey(name="reader", producer="reader", permissions=PERMISSIONS)
        key = (await ring.create(wanted, "dev", "olga", datetime.now(UTC))).presented
        child = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            script.replace("http://localhost:8000", api),
            cwd=tmp_path,
            env={**os.environ, "KEY": key},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await asyncio.wait_for(child.communicate(), 60)
        assert child.returncode == 0, complained.decode()
        return said.decode()

    return run
