"""A look at the inbox raced against the e-mail that would follow: once the look is acknowledged, no claim sends it.

And workers killed with -9 while the further steps wait and go out: each comes once, none after a look.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from tests.eventually import eventually
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.dump import dump_of
from tests.faults.flow import ENVIRONMENT, REQUESTS, Doors, Request, a_flow, every_item_is_stored, unfinished
from tests.faults.ledger_check import derived_endpoint, derived_id, read_calls
from tests.faults.under_fire import Accepted, kills_under_load

PAIRS, AT_ONCE = 400, 25
AFTER = timedelta(seconds=1)
EARLIEST_S, LATEST_S = -0.1, 0.6
"""Of the look, seen from when the mail is due: the schedule looks every quarter of a second, Kafka and the claim follow."""
HOW = ("mark-read", "mark-clicked")
TOTAL, KILLS = 120, 4


def ids_of(run: str, number: int) -> tuple[str, str, str]:
    """The notification, its inbox item and its mail."""
    notification = derived_id("ntf_", ENVIRONMENT, "kafka", f"{run}-{number}")
    item = derived_id("dlv_", notification, "ana", "in_app", "")
    return notification, item, derived_id("dlv_", notification, "ana", "email", derived_endpoint(address(run, number)))


def address(run: str, number: int) -> str:
    return f"{run}-{number}@example.com"


def a_request(run: str, number: int) -> Outgoing:
    body = {
        "to": [{"user": "ana", "email": address(run, number)}],
        "message": f"{run} {number}",
        "channels": ["in_app"],
        "fallback": [{"after": f"{int(AFTER.total_seconds())}s", "unless": "read", "channels": ["email"]}],
        "request_id": f"{run}-{number}",
    }
    return Outgoing(REQUESTS, f"{run}-{number}", json.dumps(body).encode())


async def test_no_mail_goes_out_whose_claim_came_after_the_look_was_acknowledged(
    crew: Crew,
    api_of: Callable[..., Awaitable[httpx2.AsyncClient]],
    resources: Resources,
    variables: Mapping[str, str],
    run: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    claims_file = tmp_path / "claims.jsonl"
    await crew.add("tests.faults.claim_watch", str(claims_file))
    ana = await api_of(RATE_LIMIT_PER_MINUTE="100000")
    chance, permits = random.Random(7), asyncio.Semaphore(AT_ONCE)
    gaps = [chance.uniform(EARLIEST_S, LATEST_S) for _ in range(PAIRS)]
    acknowledged: dict[str, float] = {}

    async def state_of(notification: str, delivery: str) -> tuple[str, float] | None:
        row = await resources.stores.deliveries.get(ENVIRONMENT, notification, delivery)
        return (row.state, row.updated_at.timestamp()) if row and row.state in ("SENT", "SKIPPED") else None

    async def raced(number: int) -> str:
        notification, item, mail = ids_of(run, number)
        async with permits:
            await resources.publisher.publish(a_request(run, number))
            _, stored_at = await eventually(lambda: state_of(notification, item), within_s=60)
            await asyncio.sleep(max(0.0, stored_at + AFTER.total_seconds() + gaps[number] - time.time()))
            (await ana.post(f"/api/v1/notifications/{HOW[number % 2]}/{item}")).raise_for_status()
            acknowledged[mail] = time.time()
            state, _ = await eventually(lambda: state_of(notification, mail), within_s=60)
            return state

    states = await asyncio.gather(*map(raced, range(PAIRS)))
    claimed = {each["delivery"]: each["at"] for each in map(json.loads, claims_file.read_text().splitlines())}
    sent = Counter(call.delivery for call in read_calls(Path(variables["SANDBOX_LEDGER"]), run))
    mails = [ids_of(run, number)[2] for number in range(PAIRS)]
    told = Counter(
        (state, sent[mail], claimed[mail] > acknowledged[mail]) for state, mail in zip(states, mails, strict=True)
    )
    with capsys.disabled():
        lines = (
            f"{state}, {calls} calls, claim {'after' if is_after else 'before'} the look: {n}"
            for (state, calls, is_after), n in sorted(told.items())
        )
        print(f"\n{PAIRS} races: " + "; ".join(lines))
    assert told.keys() <= {("SENT", 1, False), ("SKIPPED", 0, False), ("SKIPPED", 0, True)}
    assert {state for state, _, _ in told} == {"SENT", "SKIPPED"}, "the race went both ways"


async def test_whoever_dies_each_further_step_comes_once_and_none_after_a_look(
    run: str, crew: Crew, doors: Doors, resources: Resources, variables: Mapping[str, str], judge: Judge
) -> None:
    """Every second item is looked at as soon as it is stored; what is left is killed over, mail by mail."""
    await asyncio.gather(crew.add(), crew.add())
    flow = [replace(each, mail_after="3s") for each in a_flow(run, TOTAL)]
    looked_at, left = flow[::2], flow[1::2]
    mails = Accepted(Path(variables["SANDBOX_LEDGER"]), run)
    await asyncio.gather(
        doors.hand_in_slowly(flow, per_s=TOTAL / 6),
        *(looks(resources, each) for each in looked_at),
        kills_under_load(crew, ("consumers", "all"), KILLS, progress=mails, total=len(left), luck=random.Random(run)),
    )
    since = time.monotonic()
    assert await unfinished(flow, resources) == []
    report = await judge.verdict(flow, since=since, note=f"kills={crew.kills}")
    assert report.most_per_delivery <= 1, "a death in the middle of a call repeats it, once"
    mails_of = {"looked at": looked_at, "left": left}
    rows = {row["delivery_id"]: (row["state"], row.get("reason")) for row in (await dump_of(variables, run)).deliveries}
    ends = {name: {rows[mail_of(each)] for each in part} for name, part in mails_of.items()}
    assert ends == {"looked at": {("SKIPPED", "seen")}, "left": {("SENT", None)}}
    assert {call.delivery for call in judge.calls()} == set(map(mail_of, left))


def mail_of(request: Request) -> str:
    return request.expected[-1].delivery


async def looks(resources: Resources, request: Request) -> None:
    """As soon as the item is there, whichever worker has stored it and whatever became of that one."""
    await eventually(lambda: every_item_is_stored([request], resources), within_s=60)
    item = request.expected[0].delivery
    assert await resources.stores.inbox.mark_seen(ENVIRONMENT, request.person, item, datetime.now(UTC))
