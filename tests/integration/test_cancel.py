"""Taking back what was sent: through every door, and raced against the delivery itself."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from schemas import topics
from schemas.cancelling import CancelledDelivery
from schemas.ids import notification_id
from tests.eventually import eventually
from tests.integration.conftest import TokenOf
from tests.integration.test_live import frame, socket_of, until

SEND = "/api/v1/notifications"
PAIRS, AT_ONCE = 1000, 25
EARLIEST_S, LATEST_S = -0.05, 0.25  # of the cancellation, seen from its request


def a_request(unique: Callable[[str], str], **fields: Any) -> dict[str, Any]:
    return {"to": "ana", "message": unique("cancel"), "request_id": unique("req")} | fields


async def sent(ana: httpx2.AsyncClient, body: dict[str, Any], *, wait: bool = True) -> str:
    answer = await ana.post(SEND, json=body, headers={"Prefer": "wait=5"} if wait else {})
    assert answer.status_code in (200, 202), answer.text
    found: str = answer.json()["data"]["notification_id"]
    return found


async def test_an_item_somebody_has_is_recalled_and_goes_from_every_open_page(
    api: str, ana: httpx2.AsyncClient, bearer_of: TokenOf, workers: Child, unique: Callable[[str], str]
) -> None:
    body = a_request(unique)
    async with socket_of(api, "?cursor=", additional_headers=await bearer_of("ana")) as socket:
        notification = await sent(ana, body)
        item = (await until(socket, body["message"]))["id"]
        answer = await ana.post(f"{SEND}/{notification}/cancel")
        while (told := await frame(socket))["type"] != "recalled":
            pass
    assert answer.status_code == 200, answer.text
    [delivery] = answer.json()["data"]["deliveries"]
    assert (delivery["answer"], delivery["channel"]) == ("recalled", "in_app")
    assert told["ids"] == [item]
    assert item not in {each["id"] for each in (await ana.get(f"{SEND}/")).json()["data"]}

    async def is_recorded() -> dict[str, Any] | None:
        found: dict[str, Any] = (await ana.get(f"{SEND}/{notification}")).json()["data"]
        return found if found["counts"] == {"CANCELLED": 1} else None

    found = await eventually(is_recorded)
    assert found["cancelled_at"] is not None
    steps = (await ana.get(f"{SEND}/{notification}/timeline")).json()["data"]["events"]
    assert [step["event"] for step in steps] == ["accepted", "routed", "sent", "cancelled"]


async def test_a_later_request_is_cancelled_before_its_time_and_by_its_request_id(
    ana: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    body = a_request(unique, send_at=soon)
    notification = await sent(ana, body, wait=False)
    answer = await ana.post(SEND, json={"cancel": body["request_id"]})
    assert (answer.status_code, answer.json()["data"]["notification_id"]) == (200, notification)

    async def ended() -> bool:
        found = (await ana.get(f"{SEND}/{notification}")).json()["data"]
        return bool(found["counts"] == {"CANCELLED": 1})

    await eventually(ended)
    texts = [item["message"] for item in (await ana.get(f"{SEND}/")).json()["data"]]
    assert body["message"] not in texts


async def test_nobody_else_may_and_what_does_not_exist_looks_the_same(
    ana: httpx2.AsyncClient, ben: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    mine = await sent(ana, a_request(unique))
    for stranger, status in ((ben, 404), (ana, 200)):
        assert (await stranger.post(f"{SEND}/{mine}/cancel")).status_code == status
    assert (await ana.post(f"{SEND}/ntf_{'a' * 26}/cancel")).status_code == 404
    for nonsense in ({"cancel": ""}, {"cancel": 7}, {"cancel": "x", "to": "ana"}):
        assert (await ana.post(SEND, json=nonsense)).status_code == 422


async def test_a_recipient_may_not_take_back_what_somebody_else_sent(
    ana: httpx2.AsyncClient, ben: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    mine = await sent(ana, a_request(unique, to="ben"))
    assert (await ben.get(f"{SEND}/{mine}")).status_code == 200
    assert (await ben.post(f"{SEND}/{mine}/cancel")).status_code == 403


@pytest.fixture
async def slow_mail(sandbox: httpx2.AsyncClient) -> AsyncIterator[None]:
    """Every mail takes a moment, so that some cancellations meet it on its way."""
    (await sandbox.put("/faults/email", json={"mode": "slow", "delay_s": 0.01})).raise_for_status()
    yield
    (await sandbox.put("/faults/email", json={"mode": "ok"})).raise_for_status()


async def test_a_thousand_races_and_no_answer_contradicts_the_provider(
    resources: Resources,
    variables: Mapping[str, str],
    workers: Child,
    slow_mail: None,
    unique: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    permits, chance = asyncio.Semaphore(AT_ONCE), random.Random(7)
    requests = [unique("race") for _ in range(PAIRS)]
    gaps = [chance.uniform(EARLIEST_S, LATEST_S) for _ in requests]

    async def raced(number: int) -> tuple[str, CancelledDelivery]:
        request_id, gap_s = requests[number], gaps[number]
        async with permits:
            first, second = (a_mail, a_cancellation) if gap_s > 0 else (a_cancellation, a_mail)
            await resources.publisher.publish(first(request_id))
            if number % 10:
                await asyncio.sleep(abs(gap_s))
            elif gap_s > 0:  # however slow the machine is, some races are over before they begin
                await eventually(lambda: is_sent(resources, request_id), within_s=60)
            await resources.publisher.publish(second(request_id))
            return await the_answer(resources, request_id)

    answers = [answer for _, answer in await asyncio.gather(*map(raced, range(PAIRS)))]
    states = await asyncio.gather(
        *(the_end(resources, answer.delivery_id, request) for answer, request in zip(answers, requests, strict=True))
    )
    seen = accepted(Path(variables["SANDBOX_LEDGER"]))
    told = Counter((answer.answer, state, seen[answer.delivery_id]) for answer, state in zip(answers, states, strict=True))
    with capsys.disabled():
        print(f"\n{PAIRS} races: " + ", ".join(f"{'/'.join(map(str, case))}: {n}" for case, n in sorted(told.items())))
    assert told.keys() <= {
        ("stopped", "CANCELLED", 0),
        ("sent", "SENT", 1),
        ("under_way", "SENT", 1),
        ("under_way", "CANCELLED", 0),
    }
    assert {answer for answer, _, _ in told} >= {"stopped", "sent"}, "the race went both ways"


def a_mail(request_id: str) -> Outgoing:
    target = {"user": request_id, "email": f"{request_id}@example.com"}
    body = {"to": [target], "message": "Race", "channels": ["email"], "request_id": request_id}
    return Outgoing(topics.requests("dev"), request_id, json.dumps(body).encode())


def a_cancellation(request_id: str) -> Outgoing:
    return Outgoing(topics.requests("dev", "urgent"), request_id, json.dumps({"cancel": request_id}).encode())


async def the_answer(resources: Resources, request_id: str) -> tuple[str, CancelledDelivery]:
    """What the cancellation said, once it has met the request."""

    async def look() -> CancelledDelivery | None:
        found = await resources.stores.notifications.cancellation("dev", notification_id("dev", "kafka", request_id))
        return found.deliveries[0] if found and found.deliveries else None

    return request_id, await eventually(look, within_s=60)


async def is_sent(resources: Resources, request_id: str) -> bool:
    rows = await resources.stores.deliveries.of("dev", notification_id("dev", "kafka", request_id))
    return [row.state for row in rows] == ["SENT"]


async def the_end(resources: Resources, delivery: str, request_id: str) -> str:
    async def look() -> str | None:
        row = await resources.stores.deliveries.get("dev", notification_id("dev", "kafka", request_id), delivery)
        return row.state if row is not None and row.state in ("SENT", "CANCELLED") else None

    return await eventually(look, within_s=60)


def accepted(ledger: Path) -> Counter[str]:
    """How often the provider took each delivery, by its own record."""
    calls = (json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines())
    return Counter(call["delivery"] for call in calls if call["accepted"])
