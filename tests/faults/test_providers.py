"""A provider that is out, and one that stands in for it: on running workers, with the ledgers compared afterwards."""

import time
from collections.abc import Mapping
from typing import Any

import httpx2

from infrastructure.resources import Resources
from tests.eventually import eventually
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.flow import ENVIRONMENT, Doors, a_flow, every_item_is_stored

MAILS = 40


async def health_of(port: str, group: str) -> dict[str, Any]:
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{port}/readyz", params={"verbose": ""})
    return next(worker for worker in answer.json()["workers"] if worker["group"] == group)


async def test_a_provider_that_is_out_pauses_its_channel_and_nobody_elses(
    run: str, crew: Crew, doors: Doors, judge: Judge, provider: httpx2.AsyncClient, resources: Resources
) -> None:
    crew.extra = {"BREAKER_FAILURES": "3", "BREAKER_OPEN_S": "3"}
    worker = await crew.add()
    port = worker.name.rpartition("-")[2]
    await provider.put("/faults/email", json={"mode": "error"})
    flow = a_flow(run, MAILS)
    await doors.hand_in(flow)

    async def is_paused() -> bool:
        health = await health_of(port, f"{ENVIRONMENT}.deliver.email")
        return health["gate_closed_for_s"] > 0 and "normal" in health["paused"]

    await eventually(is_paused)
    assert (await health_of(port, f"{ENVIRONMENT}.deliver.in_app"))["paused"] == []
    await eventually(lambda: every_item_is_stored(flow, resources))
    calls = (await provider.get("/calls", params={"provider": "email", "limit": 1000})).json()
    refused = [call for call in calls if run in str(call["request"]) and not call["accepted"]]
    assert len(refused) < MAILS, "most were never even tried on a provider that is out"
    await provider.put("/faults/email", json={"mode": "ok"})
    back = time.monotonic()

    report = await judge.verdict(flow, since=back, note=f"refused={len(refused)}")
    assert report.duplicates == ()
    assert worker.is_alive


async def test_the_backup_relay_stands_in_and_nothing_waits_for_the_first_one(
    run: str,
    crew: Crew,
    doors: Doors,
    judge: Judge,
    provider: httpx2.AsyncClient,
    resources: Resources,
    variables: Mapping[str, str],
) -> None:
    backup = {"SMTP_BACKUP_HOST": "127.0.0.1", "SMTP_BACKUP_PORT": variables["SANDBOX_BACKUP_SMTP_PORT"]}
    crew.extra = backup | {"SMTP_BACKUP_STARTTLS": "false"}
    await crew.add()
    await provider.put("/faults/email", json={"mode": "error"})
    flow = a_flow(run, 30, channels=("email",), kind="faults.once")
    await doors.hand_in(flow)

    report = await judge.verdict(flow, since=time.monotonic())
    assert report.duplicates == ()
    rows = [row for each in flow for row in await resources.stores.deliveries.of(ENVIRONMENT, each.notification)]
    assert {(row.state, row.provider) for row in rows} == {("SENT", "smtp_backup")}
