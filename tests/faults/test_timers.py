"""What waits is in the store: neither an empty Redis nor a dead schedule worker loses a timer."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median

from tests.engines import Engines
from tests.eventually import eventually
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.dump import dump_of
from tests.faults.flow import ENVIRONMENT, Doors, Request, a_flow
from tests.faults.ledger_check import Dump

TOTAL = 40


def due_in(flow: list[Request], seconds: float) -> list[Request]:
    """A few at a time, spread over two seconds."""
    begun = datetime.now(UTC) + timedelta(seconds=seconds)
    return [replace(request, send_at=begun + timedelta(seconds=2 * request.number / len(flow))) for request in flow]


def lateness_s(flow: list[Request], dump: Dump) -> list[float]:
    """From its time to the stored inbox item, the whole way."""
    stored = {row["delivery_id"]: datetime.fromisoformat(row["cursor"].partition("~")[0]) for row in dump.inbox}
    return sorted(
        (stored[one.expected[0].delivery] - (one.send_at or stored[one.expected[0].delivery])).total_seconds()
        for one in flow
    )


def shown(late: list[float]) -> str:
    return f"late_p50_s={median(late):.2f} late_max_s={late[-1]:.2f}"


async def all_waiting(judge: Judge, flow: list[Request]) -> None:
    async def are() -> bool:
        notes = [await judge.resources.stores.notifications.unplanned(ENVIRONMENT, one.notification) for one in flow]
        return all(notes)

    await eventually(are)


async def test_timers_fire_in_their_time(
    run: str, crew: Crew, doors: Doors, judge: Judge, variables: Mapping[str, str]
) -> None:
    await crew.add()
    flow = due_in(a_flow(run, TOTAL), 4)
    await doors.hand_in(flow)
    await judge.verdict(flow, since=time.monotonic())
    late = lateness_s(flow, await dump_of(variables, run))
    judge.say(shown(late))
    assert late[0] >= 0, "none was early"


async def test_an_empty_redis_and_a_dead_schedule_lose_no_timer(
    run: str, crew: Crew, doors: Doors, judge: Judge, engines: Engines, variables: Mapping[str, str]
) -> None:
    await crew.add("tests.faults.failing_worker", "all", "--but", "schedule")
    schedule = await crew.add("consumers", "schedule")
    flow = due_in(a_flow(run, TOTAL), 6)
    await doors.hand_in(flow)
    await all_waiting(judge, flow)
    await crew.kill(schedule)
    await engines.kill("valkey")
    await engines.start_valkey_empty()
    died = time.monotonic()
    await crew.add("consumers", "schedule")

    report = await judge.verdict(flow, since=died)
    late = lateness_s(flow, await dump_of(variables, run))
    judge.say(shown(late))
    assert report.duplicates == ()
    assert late[0] >= 0, "none was early"
