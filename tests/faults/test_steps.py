"""kill -9 of each worker at each step of the protocol; a fresh one takes over, and the outcome is the one the protocol says.

Right before a step is also right after the one before it, so each window between two steps is met once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from infrastructure.local.processes import Child, Processes
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.failing_worker import STEPS
from tests.faults.flow import Doors, a_flow

TOTAL = 3
# One record at a time: then the death is at this step of one delivery, and at no step of another.
ALONE = {"WORKER_CONCURRENCY": "1"}
ONE_FOR_MANY = {"commit", "xack"}
WORKERS = ("route", "deliver.in_app", "deliver.email", "persist", "schedule", "bridge")
# A claim without a result is doubt. At least once sends again: a duplicate if the provider had said yes already.
# At most once never does: the delivery rests as UNKNOWN, also when it had not been sent at all.
DUPLICATES = {("faults.again", "after:send"), ("faults.again", "before:record")}
UNKNOWNS = {("faults.once", "before:send"), ("faults.once", "after:send"), ("faults.once", "before:record")}


@dataclass
class Stage:
    """Every worker in a process of its own, each ready to die where it is told."""

    crew: Crew
    folder: Path
    on: dict[str, Child] = field(default_factory=dict)

    async def enter(self, worker: str) -> None:
        self.on[worker] = await self.crew.add("tests.faults.failing_worker", worker, "--told-by", str(self._orders(worker)))

    async def dies(self, worker: str, moment: str) -> None:
        """Returns when it has, as ordered."""
        victim = self.on.pop(worker)
        async with asyncio.timeout(20):
            await self.crew.buried(victim)
        assert f"failpoint {moment}" in victim.output, victim.end_of_log()
        self._orders(worker).unlink()

    def order(self, worker: str, moment: str, *, nth: int) -> None:
        fresh = self._orders(worker).with_suffix(".new")
        fresh.write_text(f"{moment} {nth}", encoding="utf-8")
        fresh.replace(self._orders(worker))

    def _orders(self, worker: str) -> Path:
        return self.folder / f"{worker}.orders"


@pytest_asyncio.fixture(scope="module")
async def stage(
    processes: Processes,
    variables: Mapping[str, str],
    uat: None,
    sandbox: object,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stage]:
    ready = Stage(Crew(processes, variables, ALONE), tmp_path_factory.mktemp("orders"))
    await asyncio.gather(*map(ready.enter, WORKERS))
    yield ready
    await ready.crew.stop_all()


def windows() -> Iterator[tuple[str, str, str]]:
    for worker in WORKERS:
        yield from ((worker, f"before:{step}", "faults.again") for step in STEPS[worker])
    yield "deliver.email", "after:send", "faults.again"
    yield from (("deliver.email", moment, kind) for kind, moment in sorted(UNKNOWNS))


@pytest.mark.parametrize(("worker", "moment", "kind"), tuple(windows()))
async def test_death(
    worker: str, moment: str, kind: str, stage: Stage, run: str, doors: Doors, judge: Judge, provider: httpx2.AsyncClient
) -> None:
    flow = a_flow(run, TOTAL, doors=("redis",) if worker == "bridge" else ("kafka",), kind=kind)
    if worker == "schedule" or moment.endswith("timer"):
        await provider.put("/faults/email", json={"mode": "error", "times": TOTAL})  # every mail waits for a retry
    stage.order(worker, moment, nth=1 if moment.partition(":")[2] in ONE_FOR_MANY else 2)

    await doors.hand_in(flow)
    await stage.dies(worker, moment)
    died = time.monotonic()
    if worker not in {"schedule", "bridge"}:
        await stage.crew.forget_dead(worker)
    await stage.enter(worker)

    report = await judge.verdict(flow, since=died)
    assert len(report.duplicates) == ((kind, moment) in DUPLICATES)
    assert len(report.unknown) == ((kind, moment) in UNKNOWNS)
    assert report.late == ()


@pytest.mark.parametrize("moment", ["before:timer", "after:timer", "before:publish.status", "before:commit"])
async def test_death_between_an_item_and_the_mail_that_waits_for_nobody_to_look(
    moment: str, stage: Stage, run: str, doors: Doors, judge: Judge, provider: httpx2.AsyncClient
) -> None:
    """The item is stored, the timer of the next step is not: the redelivery puts it, and each mail goes out once."""
    flow = [replace(each, mail_after="1s") for each in a_flow(run, TOTAL)]
    stage.order("deliver.in_app", moment, nth=1 if moment == "before:commit" else 2)

    await doors.hand_in(flow)
    await stage.dies("deliver.in_app", moment)
    died = time.monotonic()
    await stage.crew.forget_dead("deliver.in_app")
    await stage.enter("deliver.in_app")

    report = await judge.verdict(flow, since=died)
    assert (report.duplicates, report.unknown, report.late) == ((), (), ())
