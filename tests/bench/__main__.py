"""`make bench`: figures of the whole way on this machine, printed and written to .local/bench.json.

The machine is shared: compare figures of one run with each other, not with another day's.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.processes import Processes
from infrastructure.local.stack import local_stack
from infrastructure.resources import open_resources
from infrastructure.settings import Settings
from tests.bench.fairness import fairness
from tests.bench.fan_out import fan_out
from tests.bench.latency import from_post_to_frame
from tests.bench.running import Running, written
from tests.bench.timers import timers
from tests.bench.urgent import urgent
from tests.bench.whole_way import whole_way
from tests.product import answers_ready, product_variables, start_module, start_services

FIGURES = Path(".local/bench.json")


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    """The product as `make run` has it: one worker process with everything, one API, the store on disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with local_stack(folder / "stack", persistent=True) as addresses, Processes(folder / "log") as processes:
            variables = product_variables(addresses, folder) | {"RATE_LIMIT_PER_MINUTE": "100000"}
            with pytest.MonkeyPatch.context() as patch:
                for key, value in variables.items():
                    patch.setenv(key, value)
                settings = Settings(_env_file=None)
                await asyncio.gather(create_topics(settings), create_tables(settings), start_services(processes, variables))
                workers = await start_module(processes, "consumers", "consumers", "all", variables=variables)
                api = await start_module(processes, "api", "api", variables=variables)
                await workers.until(lambda: answers_ready(variables["WORKER_PORT"]))
                await api.until(lambda: answers_ready(variables["PORT"]))
                async with open_resources(settings) as resources:
                    yield Running(variables, resources)


async def main() -> None:
    rows: list[dict[str, object]] = []
    async with running() as product:
        for measure in (whole_way, from_post_to_frame):
            rows += await written(measure(product))
    for figures in (fan_out(), urgent(), fairness(), timers()):
        rows += await written(figures)
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
