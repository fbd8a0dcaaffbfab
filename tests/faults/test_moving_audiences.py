"""600 people of a topic wait for a time on their clocks, and are given another one; whoever moves them dies by SIGKILL at
one step after the other. Everybody gets it once, at the time that is in force in the end."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from tests.eventually import eventually
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.dump import dump_of
from tests.faults.flow import ENVIRONMENT, REQUESTS
from tests.faults.ledger_check import ProducerLedger
from tests.faults.test_audiences import CONCURRENCY, PEOPLE, Crowd, a_campaign, a_walker_dies, the_end, walker

DEATHS = (
    ("after:timer", 40),
    ("before:rest", 60),
    ("before:cursor", 5),
    ("after:cursor", 6),
    ("before:commit", 1),
)


async def test_an_audience_that_is_moved_loses_and_doubles_nobody_whoever_dies(
    run: str,
    crew: Crew,
    resources: Resources,
    variables: Mapping[str, str],
    ledger: ProducerLedger,
    judge: Judge,
    tmp_path: Path,
    provider: object,
) -> None:
    crowd, orders = Crowd(run), tmp_path / "orders"
    crew.extra = {"WORKER_CONCURRENCY": str(CONCURRENCY)}
    others = ("tests.faults.failing_worker", "all", "--but", "expand")
    _, helper, first = await asyncio.gather(crowd.gather(resources), crew.add(*others), walker(crew, orders))
    notification = await a_campaign(run, resources, ledger, crowd, a_wall_clock(timedelta(hours=3)))
    ledger.acknowledged(notification)
    waiting = PEOPLE - len(crowd.unwilling) + len(crowd.mailed)

    async def all_wait() -> bool:
        tally = await resources.stores.deliveries.tally(ENVIRONMENT, notification, 16)
        return tally.states == {"RETRY": waiting, "SKIPPED": 2 * PEOPLE - waiting}

    await eventually(all_wait, within_s=60)
    await crew.kill(first)
    await crew.forget_dead("expand")

    move = {"reschedule": f"{run}-campaign", "send_at": a_wall_clock(timedelta(hours=-1))}
    await resources.publisher.publish(Outgoing(REQUESTS, run, json.dumps(move).encode()))
    for death in DEATHS:
        await a_walker_dies(crew, orders, *death)
    orders.unlink()
    await crew.kill(helper)
    await asyncio.gather(crew.add(*others), walker(crew, orders))
    since = time.monotonic()

    found = await the_end(resources, notification)
    assert found["counts"] == {"SENT": waiting, "SKIPPED": 2 * PEOPLE - waiting}
    assert found["audience"]["moving"]["done"]
    report = await judge.compared(since=since, note=f"kills={crew.kills} moved={found['audience']['moving']['moved']}")
    assert report.acknowledged == 1
    assert len(report.duplicates) <= CONCURRENCY
    dump = await dump_of(variables, run)
    assert Counter(row["person"] for row in dump.inbox) == Counter(set(crowd.people) - set(crowd.unwilling))


def a_wall_clock(ahead: timedelta) -> str:
    """Nobody of the crowd has chosen a zone: it is that of the deployment."""
    return (datetime.now(UTC) + ahead).replace(tzinfo=None, microsecond=0).isoformat()
