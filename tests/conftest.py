"""The real parts, started once per run: broker, store, Redis, stand-ins for logins and providers, workers, API.

Tests share them and keep apart by names of their own (people, request ids). A part that cannot start is an error.
"""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import httpx2
import pytest
import pytest_asyncio
import structlog

from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.addresses import Addresses
from infrastructure.local.java import FOR_TESTS
from infrastructure.local.processes import Child, Processes
from infrastructure.local.stack import start_stack
from infrastructure.resources import Resources, open_resources
from infrastructure.settings import Settings
from tests.engines import Engines
from tests.product import answers_ready, product_variables, start_module, start_services
from tests.service_token import SECRET, SERVICE

# Shorter than in production, so that a test of a takeover or a retry need not wait for minutes.
QUICK = {
    "DELIVERY_LEASE_S": "6",
    "PROVIDER_TIMEOUT_S": "2",
    "RETRY_SCHEDULE_S": "0.2,0.4,0.8",
    "BREAKER_OPEN_S": "1",
    "BRIDGE_IDLE_TAKEOVER_S": "1",
    "DRAIN_TIMEOUT_S": "10",
    "API_TOKEN": "a-token-for-tests",
    "CORS_ORIGINS": "http://localhost:5173",  # the app of docs/sending.md
    "RATE_LIMIT_PER_MINUTE": "100000",
    "JWT_SECRET_KEY": SECRET,
    "JWT_SERVICES": json.dumps({SERVICE: ["notifications:send"]}),
}


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A name nobody else uses: `unique("ana")`."""
    return lambda name: f"{name}-{uuid.uuid4().hex[:10]}"


@pytest.fixture(autouse=True)
def _logs_go_where_this_test_looks() -> Iterator[None]:
    """A command line that ran inside a test leaves structlog writing to that test's streams, which are closed after it."""
    yield
    structlog.reset_defaults()


@pytest_asyncio.fixture(scope="session")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engines]:
    root = tmp_path_factory.mktemp("stack")
    async with Processes(root / "log") as processes:
        addresses = await start_stack(processes, root, persistent=False, java_flags=FOR_TESTS)
        yield Engines(processes, root, addresses)


@pytest.fixture(scope="session")
def stack(engines: Engines) -> Addresses:
    return engines.addresses


@pytest_asyncio.fixture(scope="session")
async def variables(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What every process of the product is told."""
    return product_variables(stack, tmp_path_factory.mktemp("local")) | QUICK


@pytest_asyncio.fixture(scope="session")
async def settings(variables: Mapping[str, str]) -> AsyncIterator[Settings]:
    """Settings of the running stack, with its Kafka topics and tables made."""
    with pytest.MonkeyPatch.context() as told:
        for name, value in variables.items():
            told.setenv(name, value)
        settings = Settings(_env_file=None)
    with pytest.MonkeyPatch.context() as credentials:  # botocore reads these itself, and later
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            credentials.setenv(name, variables[name])
        await create_topics(settings)
        await create_tables(settings)
        yield settings


@pytest_asyncio.fixture(scope="session")
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    async with open_resources(settings) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session")
async def processes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Processes]:
    async with Processes(tmp_path_factory.mktemp("logs")) as started:
        yield started


@pytest_asyncio.fixture(scope="session")
async def sandbox(processes: Processes, variables: Mapping[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    """The provider sandbox and the identity provider."""
    await start_services(processes, variables)
    async with httpx2.AsyncClient(base_url=variables["SANDBOX_URL"], timeout=30) as client:
        yield client


@pytest_asyncio.fixture(scope="session")
async def workers(settings: Settings, processes: Processes, variables: Mapping[str, str], sandbox: object) -> Child:
    child = await start_module(processes, "consumers", "consumers", "all", variables=variables)
    await child.until(lambda: answers_ready(variables["WORKER_PORT"]))
    return child


@pytest_asyncio.fixture(scope="session")
async def api(settings: Settings, processes: Processes, variables: Mapping[str, str], sandbox: object) -> str:
    """The base address of the running API."""
    child = await start_module(processes, "api", "api", variables=variables)
    await child.until(lambda: answers_ready(variables["PORT"]))
    return f"http://localhost:{variables['PORT']}"
