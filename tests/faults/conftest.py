"""A run of its own for every test: its name, its ledger, its workers, and the judge who compares the three lists."""

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Processes
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from tests.faults.crew import OWN, Crew
from tests.faults.dump import dump_of
from tests.faults.flow import ENVIRONMENT, Doors, Request, unfinished
from tests.faults.ledger_check import Call, ProducerLedger, Report, check, read_calls
from tests.product import answers_ready, start_module
from tests.tokens import bearer, token_of


@pytest.fixture
def run() -> str:
    """In every name the run leaves behind, so that a ghost of it is seen and another's is not counted."""
    return f"run{uuid.uuid4().hex[:8]}"


@pytest.fixture
def ledger(tmp_path: Path) -> ProducerLedger:
    return ProducerLedger(tmp_path / "producer.jsonl")


@pytest_asyncio.fixture(scope="session")
async def uat(settings: Settings) -> None:
    """Kafka topics and tables of an environment that only these tests use."""
    own = settings.model_copy(update={"environments": (ENVIRONMENT,), "default_environment": ENVIRONMENT})
    await create_topics(own)
    await create_tables(own)


@pytest.fixture
async def crew(processes: Processes, variables: Mapping[str, str], uat: None, sandbox: object) -> AsyncIterator[Crew]:
    workers = Crew(processes, variables)
    yield workers
    await workers.stop_all()


@pytest.fixture
async def api_of(
    processes: Processes, variables: Mapping[str, str], uat: None, sandbox: object
) -> AsyncIterator[Callable[..., Awaitable[httpx2.AsyncClient]]]:
    """Ana at the API of this environment, with settings of its own."""
    async with AsyncExitStack() as stack:

        async def start(**extra: str) -> httpx2.AsyncClient:
            port = str(any_free_port())
            child = await start_module(
                processes, f"api-{port}", "api", variables=variables, extra={**OWN, **extra, "PORT": port}
            )
            stack.push_async_callback(child.stop)
            await child.until(lambda: answers_ready(port))
            headers = bearer(await token_of(variables, "ana"))
            client = httpx2.AsyncClient(base_url=f"http://localhost:{port}", headers=headers, timeout=30)
            return await stack.enter_async_context(client)

        yield start


@pytest.fixture
def doors(resources: Resources, ledger: ProducerLedger) -> Doors:
    return Doors(resources, ledger)


@pytest.fixture
async def provider(sandbox: httpx2.AsyncClient) -> AsyncIterator[httpx2.AsyncClient]:
    """The sandbox, healthy again afterwards."""
    yield sandbox
    for name in ("email", "slack"):
        (await sandbox.put(f"/faults/{name}", json={"mode": "ok"})).raise_for_status()


@dataclass
class Judge:
    """Waits for the end of everything, compares, and prints the line of the run."""

    resources: Resources
    variables: Mapping[str, str]
    ledger: ProducerLedger
    run: str
    name: str
    capsys: pytest.CaptureFixture[str]

    def calls(self) -> list[Call]:
        """What the providers have accepted of this run until now."""
        return read_calls(Path(self.variables["SANDBOX_LEDGER"]), self.run)

    def say(self, words: str) -> None:
        with self.capsys.disabled():
            print(words, end=" ", flush=True)

    async def verdict(self, flow: Sequence[Request], *, since: float, within_s: float = 60, note: str = "") -> Report:
        """`since` is when the fault was over, on the monotonic clock; nothing may be lost, ever."""
        await unfinished(flow, self.resources, within_s=within_s)
        report = await self.compared(since=since, note=note)
        assert report.acknowledged == len(flow)
        return report

    async def compared(self, *, since: float, note: str = "") -> Report:
        """The comparison alone, for a flow of one's own."""
        took = time.monotonic() - since
        report = check(self.ledger.path, self.calls(), await dump_of(self.variables, self.run))
        self.say(f"\n{self.name}: {report} recovery_s={took:.1f} {note}")
        assert report.wrongs == {}
        return report


@pytest.fixture
def judge(
    resources: Resources,
    variables: Mapping[str, str],
    ledger: ProducerLedger,
    run: str,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> Judge:
    return Judge(resources, variables, ledger, run, request.node.name, capsys)
