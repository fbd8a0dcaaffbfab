"""The product for figures: a stack of its own, services, and whichever processes a figure wants, when it wants them."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.processes import Child, Processes
from infrastructure.local.stack import local_stack
from infrastructure.resources import open_resources
from infrastructure.settings import Settings
from tests.bench.running import Running
from tests.product import answers_ready, product_variables, start_module, start_services


@dataclass(frozen=True)
class House:
    variables: Mapping[str, str]
    running: Running
    processes: Processes

    async def workers(self, name: str = "all") -> Child:
        """One process; ready when its groups have their partitions."""
        child = await start_module(self.processes, "consumers", "consumers", name, variables=self.variables)
        await child.until(lambda: answers_ready(self.variables["WORKER_PORT"]))
        return child

    async def api(self) -> Child:
        child = await start_module(self.processes, "api", "api", variables=self.variables)
        await child.until(lambda: answers_ready(self.variables["PORT"]))
        return child


@asynccontextmanager
async def laid_out(*, persistent: bool, **settings: str) -> AsyncIterator[House]:
    """Topics and tables are there, and nobody works yet. `settings` are environment variables."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        async with local_stack(folder / "stack", persistent=persistent) as addresses, Processes(folder / "log") as processes:
            variables = product_variables(addresses, folder) | settings
            for key, value in variables.items():
                patch.setenv(key, value)
            own = Settings(_env_file=None)
            await asyncio.gather(create_topics(own), create_tables(own), start_services(processes, variables))
            async with open_resources(own) as resources:
                yield House(variables, Running(variables, resources), processes)
