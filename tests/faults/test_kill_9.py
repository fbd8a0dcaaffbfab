"""Two workers that share everything die by SIGKILL again and again while requests flow in by HTTP, Kafka and Redis.

`make faults` does the same in large and prints the figures.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

import httpx2

from tests.faults.conftest import Judge
from tests.faults.crew import Crew, settled_by
from tests.faults.flow import Doors, a_flow
from tests.faults.under_fire import kills_under_load

TOTAL, KILLS, AT_ONCE = 360, 5, 8


async def test_nothing_is_lost_by_any_door(
    run: str,
    crew: Crew,
    doors: Doors,
    judge: Judge,
    provider: httpx2.AsyncClient,
    api_of: Callable[..., Awaitable[httpx2.AsyncClient]],
) -> None:
    await provider.put("/faults/email", json={"mode": "slow", "delay_s": 0.1})
    crew.extra = {"WORKER_CONCURRENCY": str(AT_ONCE)}
    await asyncio.gather(crew.add(), crew.add())
    open_doors = Doors(doors.resources, doors.ledger, await api_of())
    flow = a_flow(run, TOTAL, doors=("http", "kafka", "redis"), mail_every=3)
    settled = sum(len(request.channels) for request in flow)
    sending = asyncio.create_task(open_doors.hand_in_slowly(flow, per_s=30))
    await kills_under_load(
        crew,
        ("consumers", "all"),
        KILLS,
        progress=lambda: sum(map(settled_by, crew.everybody)),
        total=settled,
        luck=Random(7),
    )
    await sending

    report = await judge.verdict(flow, since=time.monotonic(), within_s=90, note=f"kills={crew.kills}")
    assert len(report.duplicates) <= KILLS * AT_ONCE, "at most what the dead had under way"
    assert report.unknown == ()
