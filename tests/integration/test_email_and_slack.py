"""External channels against providers that refuse, hesitate, fall silent, and workers that die in between."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Child, Processes
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas import topics
from schemas.deliveries import Delivery, State
from schemas.ids import notification_id
from schemas.topics import Environment
from tests.eventually import eventually
from tests.integration.conftest import Fault
from tests.kafka_log import document, records_of, text_headers
from tests.product import start_module
from tests.tokens import log_in


async def send(resources: Resources, request_id: str, environment: Environment = "dev", **request: Any) -> str:
    """A raw record; returns its notification id."""
    value = json.dumps({"message": {"title": "Hi", "body": request_id}, "request_id": request_id, **request}).encode()
    await resources.publisher.publish(Outgoing(topics.requests(environment), request_id, value))
    return notification_id(environment, "kafka", request_id)


async def in_state(
    resources: Resources, notification: str, state: State, environment: Environment = "dev", within_s: float = 20
) -> Delivery:
    """The one delivery of this notification, once it is there."""

    async def look() -> Delivery | None:
        rows = await resources.stores.deliveries.of(environment, notification)
        return next((row for row in rows if row.state == state), None)

    return await eventually(look, within_s=within_s)


async def calls(sandbox: httpx2.AsyncClient, row: Delivery) -> list[dict[str, Any]]:
    """What the provider saw of one delivery, oldest first."""
    found: list[dict[str, Any]] = (await sandbox.get("/calls", params={"delivery": row.delivery_id})).json()
    return found[::-1]


def accepted(seen: list[dict[str, Any]]) -> list[bool]:
    return [call["accepted"] for call in seen]


def history(row: Delivery) -> list[tuple[str, int]]:
    return [(step.event, step.attempt) for step in row.history]


def reasons(row: Delivery) -> list[str | None]:
    return [step.reason for step in row.history if step.event == "retrying"]


@pytest.mark.parametrize(
    ("provider", "target", "status", "reason"),
    [("email", {"email": "ana@example.com"}, 451, "smtp_451"), ("slack", {"slack": "default"}, 503, "http_503")],
)
async def test_a_refusal_for_now_is_tried_again_until_it_goes_through(
    resources: Resources,
    workers: Child,
    sandbox: httpx2.AsyncClient,
    fault: Fault,
    unique: Callable[[str], str],
    provider: str,
    target: dict[str, str],
    status: int,
    reason: str,
) -> None:
    await fault(provider, mode="error", status=status, times=2)
    notification = await send(resources, unique("order"), to=target)

    row = await in_state(resources, notification, "SENT")
    assert row.attempt == 2
    assert accepted(await calls(sandbox, row)) == [False, False, True]
    assert history(row) == [("retrying", 1), ("retrying", 2), ("sent", 2)]
    assert reasons(row) == [reason, reason]


async def test_a_provider_that_names_a_wait_is_not_called_before_it_is_over(
    resources: Resources, workers: Child, sandbox: httpx2.AsyncClient, fault: Fault, unique: Callable[[str], str]
) -> None:
    await fault("slack", mode="throttle", retry_after_s=3, times=1)
    notification = await send(resources, unique("order"), to={"slack": "default"})

    row = await in_state(resources, notification, "SENT")
    first, second = await calls(sandbox, row)
    assert (first["answer"]["status"], second["accepted"]) == (429, True)
    assert moment(second) - moment(first) >= timedelta(seconds=3)


async def test_a_refusal_for_good_is_a_dead_letter_with_its_reason(
    resources: Resources,
    settings: Settings,
    workers: Child,
    sandbox: httpx2.AsyncClient,
    fault: Fault,
    unique: Callable[[str], str],
) -> None:
    await fault("email", mode="permanent", times=1)
    notification = await send(resources, unique("order"), to={"email": "nobody@example.com"})

    row = await in_state(resources, notification, "FAILED")
    assert (row.reason, row.attempt) == ("smtp_550", 0)
    assert accepted(await calls(sandbox, row)) == [False]

    async def dead_letter() -> Any:
        records = await records_of(settings, topics.dead_letters("dev"))
        return next((record for record in records if record.key == row.delivery_id.encode()), None)

    record = await eventually(dead_letter)
    assert text_headers(record)["x-dlq-reason"] == "smtp_550"
    assert document(record)["notification_id"] == notification
    assert b"nobody@example.com" not in record.value, "ids only"


async def test_a_schedule_that_is_spent_ends_as_failed(
    resources: Resources, workers: Child, sandbox: httpx2.AsyncClient, fault: Fault, unique: Callable[[str], str]
) -> None:
    await fault("slack", mode="error", times=4)
    notification = await send(resources, unique("order"), to={"slack": "default"})
    row = await in_state(resources, notification, "FAILED")
    assert (row.reason, row.attempt) == ("retries_spent:http_500", 3)
    assert accepted(await calls(sandbox, row)) == [False] * 4


@pytest.mark.parametrize(
    ("mode", "seen"), [("hang", [False, True]), ("close", [False, True]), ("drop_answer", [True, True])]
)
@pytest.mark.parametrize(("provider", "target"), [("email", {"email": "ana@example.com"}), ("slack", {"slack": "default"})])
async def test_silence_is_ambiguous_and_tried_again(
    resources: Resources,
    workers: Child,
    sandbox: httpx2.AsyncClient,
    fault: Fault,
    unique: Callable[[str], str],
    provider: str,
    target: dict[str, str],
    mode: str,
    seen: list[bool],
) -> None:
    """At least once: nobody can know whether the silent one took it; `drop_answer` did, and that is the rare double."""
    await fault(provider, mode=mode, times=1)
    notification = await send(resources, unique("order"), to=target)
    row = await in_state(resources, notification, "SENT")
    assert row.attempt == 1
    assert accepted(await calls(sandbox, row)) == seen
    silences = [reason for reason in reasons(row) if reason and reason.startswith("ambiguous:")]
    assert len(silences) == 1, "it may also have waited for a place at its destination, which takes no attempt"


async def test_a_delivery_that_comes_again_is_not_sent_again(
    resources: Resources,
    settings: Settings,
    workers: Child,
    sandbox: httpx2.AsyncClient,
    unique: Callable[[str], str],
) -> None:
    """As after a rebalance: the same records once more. A later mail to the same address shows that they were read."""
    topic, address = topics.deliveries("dev", "email"), f"{unique('ana')}@example.com"
    row = await in_state(resources, await send(resources, unique("order"), to={"email": address}), "SENT")
    [record] = [each for each in await records_of(settings, topic) if row.delivery_id.encode() in each.value]
    for _ in range(3):
        await resources.publisher.publish(Outgoing(topic, record.key, record.value, dict(record.headers)))

    await in_state(resources, await send(resources, unique("order"), to={"email": address}), "SENT")
    assert accepted(await calls(sandbox, row)) == [True]
    assert await in_state(resources, row.notification_id, "SENT") == row


async def test_the_mail_names_its_delivery_so_that_a_double_can_be_known(
    resources: Resources, workers: Child, sandbox: httpx2.AsyncClient, unique: Callable[[str], str]
) -> None:
    request_id = unique("order")
    notification = await send(resources, request_id, to={"email": "ana@example.com"})
    row = await in_state(resources, notification, "SENT")
    [call] = await calls(sandbox, row)
    assert call["request"]["headers"]["Message-ID"] == f"<{row.delivery_id}@localhost>"
    assert (call["request"]["subject"], call["request"]["text"].strip()) == ("Hi", request_id)
    assert call["request"]["to"] == ["ana@example.com"]


async def test_a_person_is_written_to_at_the_address_their_login_proved_unless_the_request_names_another(
    resources: Resources,
    workers: Child,
    api: str,
    variables: Mapping[str, str],
    sandbox: httpx2.AsyncClient,
    unique: Callable[[str], str],
) -> None:
    async with httpx2.AsyncClient(base_url=api) as browser:
        await log_in(browser, variables, "ben")
    known = await send(resources, unique("order"), to="ben", channels=["email"])
    named = await send(resources, unique("order"), to={"user": "ben", "email": "ben@work.example"}, channels=["email"])

    for notification, address in ((known, "ben@example.com"), (named, "ben@work.example")):
        row = await in_state(resources, notification, "SENT")
        [call] = await calls(sandbox, row)
        assert (row.recipient, call["request"]["to"]) == ("ben", [address])


async def test_a_person_without_an_address_is_skipped_with_that_reason(
    resources: Resources, workers: Child, unique: Callable[[str], str]
) -> None:
    notification = await send(resources, unique("order"), to=unique("stranger"), channels=["email"])
    assert (await in_state(resources, notification, "SKIPPED")).reason == "no_address"


PROD: dict[str, str] = {"ENVIRONMENTS": "prod", "DEFAULT_ENVIRONMENT": "prod", "LOW_STOCK_SOURCE": "channel"}


async def test_what_a_worker_died_over_is_taken_over_after_its_lease_and_not_before(
    resources: Resources,
    settings: Settings,
    processes: Processes,
    variables: Mapping[str, str],
    sandbox: httpx2.AsyncClient,
    fault: Fault,
    unique: Callable[[str], str],
) -> None:
    """Killed between the provider's yes and our record of it, in an environment of its own."""
    own = settings.model_copy(update={"environments": ("prod",), "default_environment": "prod"})
    await create_topics(own)
    await create_tables(own)

    async def worker(name: str) -> Child:
        extra = {**PROD, "WORKER_PORT": str(any_free_port()), "KAFKA_SESSION_TIMEOUT_S": "6"}
        return await start_module(processes, name, "consumers", "all", variables=variables, extra=extra)

    await fault("email", mode="slow", delay_s=1.5, times=1)
    victim = await worker("prod-victim")
    notification = await send(resources, unique("order"), "prod", to={"email": "ana@example.com"})
    claimed = await in_state(resources, notification, "IN_FLIGHT", "prod", within_s=30)
    await eventually(lambda: calls(sandbox, claimed))
    victim.process.kill()
    await victim.process.wait()
    assert (await in_state(resources, notification, "IN_FLIGHT", "prod")).claim_token == claimed.claim_token

    heir = await worker("prod-heir")
    row = await in_state(resources, notification, "SENT", "prod", within_s=45)
    await heir.stop()
    first, second = await calls(sandbox, row)
    assert accepted([first, second]) == [True, True], "at least once: the double that is named in the README"
    assert moment(second) >= claimed.updated_at + settings.delivery_lease
    assert row.claim_token != claimed.claim_token
    assert (row.attempt, row.doubtful) == (1, True), "it counts: what kills its workers again and again is given up"


def moment(call: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(call["received_at"])
