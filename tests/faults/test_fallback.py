"""A look at the inbox raced against the e-mail that would follow: once the look is acknowledged, no claim sends it."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from tests.eventually import eventually
from tests.faults.crew import Crew
from tests.faults.flow import ENVIRONMENT, REQUESTS
from tests.faults.ledger_check import derived_endpoint, derived_id, read_calls

PAIRS, AT_ONCE = 400, 25
AFTER = timedelta(seconds=1)
EARLIEST_S, LATEST_S = -0.1, 0.6
"""Of the look, seen from when the mail is due: the schedule looks every quarter of a second, Kafka and the claim follow."""
HOW = ("mark-read", "mark-clicked")


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
