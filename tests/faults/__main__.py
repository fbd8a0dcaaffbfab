"""`make faults`: events under kill -9 of workers, without a ledger and under either promise; printed, and kept in a file.

The machine is shared: compare the rows of one table with each other, not with another day's.
"""

import argparse
import asyncio
import json
import os
import platform
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.java import FOR_TESTS
from infrastructure.local.processes import Processes
from infrastructure.local.stack import local_stack
from infrastructure.resources import open_resources
from infrastructure.settings import Settings
from tests.conftest import QUICK
from tests.faults.crew import OWN
from tests.faults.table import MODES, Ground, Mode, Plan, Row, measure
from tests.product import product_variables, start_services

FIGURES = Path("build/faults.json")


@asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    """A stack of its own, gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            local_stack(folder / "stack", persistent=False, java_flags=FOR_TESTS) as addresses,
            Processes(folder / "log") as processes,
        ):
            variables = product_variables(addresses, folder) | QUICK
            with pytest.MonkeyPatch.context() as patch:
                for key, value in (variables | OWN).items():
                    patch.setenv(key, value)
                settings = Settings(_env_file=None)
                await asyncio.gather(create_topics(settings), create_tables(settings), start_services(processes, variables))
                async with (
                    open_resources(settings) as resources,
                    httpx2.AsyncClient(base_url=variables["SANDBOX_URL"], timeout=30) as sandbox,
                ):
                    yield Ground(processes, variables, resources, sandbox, folder)


async def rows_of(modes: Sequence[Mode], plan: Plan) -> list[Row]:
    rows: list[Row] = []
    async with ground() as parts:
        for mode in modes:
            rows.append(await measure(mode, plan, parts))
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=6000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--mode", choices=MODES, action="append", help="only this one; may be given more than once")
    asked = parser.parse_args()
    plan = Plan(asked.events, asked.kills, asked.seed)
    rows = asyncio.run(rows_of(asked.mode or MODES, plan))
    machine = {"system": platform.platform(), "cpus": os.cpu_count(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({**asdict(plan), **machine, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    print(f"written to {FIGURES}")


if __name__ == "__main__":
    main()
