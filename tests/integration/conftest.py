"""Who knocks: demo people with their tokens; and how providers behave."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest_asyncio

from infrastructure.auth.keyring import Keyring, key_hash
from infrastructure.resources import Resources
from schemas.api_keys import PERMISSIONS, NewKey
from tests.integration.reader import Reader
from tests.tokens import bearer, token_of

TokenOf = Callable[[str], Awaitable[dict[str, str]]]
Fault = Callable[..., Awaitable[None]]


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
    for provider in ("email", "slack", "web_push", "fcm", "apns"):
        await behave(provider, mode="ok")


@pytest_asyncio.fixture
async def reader(api: str, bearer_of: TokenOf, resources: Resources, variables: Mapping[str, str], tmp_path: Path) -> Reader:
    """A reader of the documentation: `make run` has left Ana's token, and somebody has made them a key."""
    (tmp_path / ".local").mkdir()
    token = (await bearer_of("ana"))["Authorization"].removeprefix("Bearer ")
    (tmp_path / ".local/token").write_text(token, encoding="utf-8")
    ring = Keyring(resources.stores.api_keys, key_hash(resources.settings))
    wanted = NewKey(name="reader", producer="reader", permissions=PERMISSIONS)
    key = (await ring.create(wanted, "dev", "olga", datetime.now(UTC))).presented
    return Reader(tmp_path, api, {**variables, "CARILLON_URL": api, "CARILLON_API_KEY": key, "KEY": key})
