"""The table of `make faults`: the same events, the same kills, without a ledger and under either promise."""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Literal, get_args

import httpx2
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infrastructure.local.processes import Processes
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from tests.faults.crew import Crew
from tests.faults.dump import dump_of
from tests.faults.flow import Doors, Request, a_flow, unfinished
from tests.faults.ledger_check import Dump, ProducerLedger, Report, check, read_calls
from tests.faults.under_fire import Accepted, kills_under_load, standstill

Mode = Literal["no_ledger_500", "no_ledger_16", "at_least_once", "at_most_once"]
"""The naive consumer commits after so many records: 500 is what Kafka's own client reads at once, 16 is the kindest."""
MODES: tuple[Mode, ...] = get_args(Mode)
WORKERS, AT_ONCE = 3, 16
PROVIDER_ANSWERS_AFTER_S = 0.08
PATIENCE_S = 120
QUIET_S = 12  # longer than a dead member's session: what it had not committed has come again by then


@dataclass(frozen=True)
class Plan:
    events: int
    kills: int
    seed: int


@dataclass(frozen=True)
class Row:
    mode: Mode
    events: int
    kills: int
    lost: int
    duplicates: int
    most_per_delivery: int
    unknown: int
    wrongs: int
    seconds: float  # until the provider accepted the last one

    def __str__(self) -> str:
        return "  ".join(f"{name}={value}" for name, value in asdict(self).items())


@dataclass(frozen=True)
class Ground:
    """The running parts that a row is measured on."""

    processes: Processes
    variables: Mapping[str, str]
    resources: Resources
    sandbox: httpx2.AsyncClient
    folder: Path

    @property
    def provider_ledger(self) -> Path:
        return Path(self.variables["SANDBOX_LEDGER"])


async def measure(mode: Mode, plan: Plan, ground: Ground) -> Row:
    """One row: everything handed in while workers die, then the three ledgers compared."""
    run = f"table{plan.seed}{mode.replace('_', '')}"
    ledger = ProducerLedger(ground.folder / f"{run}.jsonl")
    flow = a_flow(run, plan.events, channels=("email",), kind="")
    slow = {"mode": "slow", "delay_s": PROVIDER_ANSWERS_AFTER_S}
    (await ground.sandbox.put("/faults/email", json=slow)).raise_for_status()
    crew = Crew(ground.processes, ground.variables, _settings(mode))
    module = ("tests.faults.naive", run, mode.rpartition("_")[2]) if _naive(mode) else ("consumers", "all")
    begun = datetime.now(UTC)
    try:
        report = await _report(mode, plan, ground, flow, ledger, crew, module)
    finally:
        await asyncio.gather(*(crew.kill(child) for child in list(crew.running)))
    ended = max(call.at for call in read_calls(ground.provider_ledger, run))
    return Row(
        mode=mode,
        events=plan.events,
        kills=plan.kills,
        lost=len(report.lost),
        duplicates=len(report.duplicates),
        most_per_delivery=report.most_per_delivery + 1,
        unknown=len(report.unknown),
        wrongs=sum(map(len, report.wrongs.values())),
        seconds=round((ended - begun).total_seconds(), 1),
    )


def _naive(mode: Mode) -> bool:
    return mode.startswith("no_ledger")


def _settings(mode: Mode) -> dict[str, str]:
    policy = "at_least_once" if _naive(mode) else mode
    return {"WORKER_CONCURRENCY": str(AT_ONCE), "DELIVERY_POLICY": json.dumps({"email": policy})}


async def _report(
    mode: Mode,
    plan: Plan,
    ground: Ground,
    flow: list[Request],
    ledger: ProducerLedger,
    crew: Crew,
    module: tuple[str, ...],
) -> Report:
    run = flow[0].run
    if _naive(mode):
        await _create_topic(ground.variables, run)
    await asyncio.gather(*(crew.start(*module) for _ in range(WORKERS)))
    progress = Accepted(ground.provider_ledger, run)
    await asyncio.gather(
        _handed_in(mode, ground, flow, ledger),
        kills_under_load(crew, module, plan.kills, progress=progress, total=plan.events, luck=Random(plan.seed)),
    )
    if _naive(mode):  # it keeps no books: it has ended when nothing more comes, and there is nothing to compare with
        await standstill(progress, of_s=QUIET_S, within_s=PATIENCE_S)
        return replace(check(ledger.path, read_calls(ground.provider_ledger, run), Dump()), unfinished=())
    await unfinished(flow, ground.resources, within_s=PATIENCE_S)
    return check(ledger.path, read_calls(ground.provider_ledger, run), await dump_of(ground.variables, run))


def _handed_in(mode: Mode, ground: Ground, flow: list[Request], ledger: ProducerLedger) -> Awaitable[None]:
    if not _naive(mode):
        return Doors(ground.resources, ledger).hand_in(flow)
    return _hand_to_naive(ground.resources, flow, ledger)


async def _hand_to_naive(resources: Resources, flow: list[Request], ledger: ProducerLedger) -> None:
    permits = asyncio.Semaphore(24)

    async def produce(request: Request) -> None:
        async with permits:
            [mail] = request.expected
            ledger.sending(request.notification, [mail])
            value = json.dumps({"run": request.run, "delivery": mail.delivery, "address": mail.address}).encode()
            await resources.publisher.publish(Outgoing(request.run, request.person, value))
            ledger.acknowledged(request.notification)

    await asyncio.gather(*map(produce, flow))


async def _create_topic(variables: Mapping[str, str], name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=variables["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=3, replication_factor=1)])
    finally:
        await admin.close()
