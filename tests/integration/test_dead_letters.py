"""What went wrong and how people put it right: dead letters, doubt, quarantine, and what producers hear of the end."""

import json
import signal
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Child, Processes
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas import topics
from schemas.deliveries import Delivery
from schemas.ids import notification_id
from tests.command import carillon, ended, started
from tests.eventually import eventually
from tests.integration.conftest import Fault
from tests.integration.test_email_and_slack import accepted, calls, in_state, send
from tests.kafka_log import document, records_of
from tests.product import answers_ready, start_module
from tests.tokens import bearer, token_of

DELIVERIES = "/api/v1/ops/deliveries"
QUARANTINE = "/api/v1/ops/quarantine"
Unique = Callable[[str], str]
PROD: dict[str, str] = {
    "ENVIRONMENTS": "prod",
    "DEFAULT_ENVIRONMENT": "prod",
    "LOW_STOCK_SOURCE": "channel",
    "DELIVERY_POLICY": '{"email": "at_most_once"}',
}


def name_of(row: Delivery) -> str:
    return f"{row.notification_id}/{row.delivery_id}"


async def finals_of(settings: Settings, request_id: str, environment: str = "dev") -> list[dict[str, Any]]:
    records = [document(record) for record in await records_of(settings, topics.receipts(environment))]
    return [each for each in records if each["request_id"] == request_id and each["verdict"] == "final"]


async def the_final(settings: Settings, request_id: str, counts: dict[str, int]) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        return next((each for each in await finals_of(settings, request_id) if each["counts"] == counts), None)

    return await eventually(look)


async def test_what_a_provider_refused_is_replayed_once_it_is_well_again(
    resources: Resources,
    settings: Settings,
    variables: Mapping[str, str],
    workers: Child,
    sandbox: httpx2.AsyncClient,
    olga: httpx2.AsyncClient,
    fault: Fault,
    unique: Unique,
) -> None:
    await fault("email", mode="permanent")
    request_id = unique("order")
    notification = await send(resources, request_id, to={"email": "ana@example.com"})
    row = await in_state(resources, notification, "FAILED")
    listed = await olga.get(DELIVERIES, params={"channel": "email", "reason": "smtp_550"})
    assert row.delivery_id in {each["delivery_id"] for each in listed.json()["data"]}
    assert "ana@example.com" not in listed.text
    await the_final(settings, request_id, {"FAILED": 1})

    await fault("email", mode="ok")
    mine = ("dlq", "replay", "--notification", notification, "--by", "olga", "--json")
    dry = await carillon(variables, *mine)
    assert (dry.code, dry.document["dry_run"], dry.document["total"]) == (0, True, 1)
    assert (await in_state(resources, notification, "FAILED")).version == row.version
    wrong = await carillon(variables, *mine, "--expect", "2")
    assert (wrong.code, "1 match now, not 2" in wrong.errors) == (1, True)
    done = await carillon(variables, *mine, "--expect", "1")
    assert (done.code, done.document["results"]) == (0, {"redriven": 1})
    row = await in_state(resources, notification, "SENT")
    assert [(step.event, step.by) for step in row.history] == [("failed", None), ("redriven", "olga"), ("sent", None)]
    final = await the_final(settings, request_id, {"SENT": 1})
    assert final["revision"] == row.version

    again = await carillon(variables, *mine, "--yes")
    assert (again.code, again.document["total"]) == (0, 0)
    named = await carillon(variables, "dlq", "replay", name_of(row), "--yes")
    assert (named.code, "is SENT: there is nothing to replay" in named.errors) == (1, True)
    assert accepted(await calls(sandbox, row)) == [False, True]


async def test_many_are_replayed_over_http_after_a_dry_run(
    resources: Resources, workers: Child, sandbox: httpx2.AsyncClient, olga: httpx2.AsyncClient, fault: Fault, unique: Unique
) -> None:
    await fault("email", mode="permanent", times=3)
    people = [{"email": f"{unique('p')}@example.com"} for _ in range(3)]
    notification = await send(resources, unique("order"), to=people)

    async def failed() -> list[Delivery] | None:
        rows = await resources.stores.deliveries.of("dev", notification)
        return rows if [row.state for row in rows] == ["FAILED"] * 3 else None

    rows = await eventually(failed)
    wanted = {"notification_id": notification, "channel": "email"}
    dry = (await olga.post(f"{DELIVERIES}/replay", json=wanted)).json()["data"]
    assert (dry["dry_run"], dry["expected"], dry["groups"][0]["count"]) == (True, 3, 3)
    stated = wanted | {"dry_run": False, "expected": dry["expected"], "until": dry["until"]}
    assert (await olga.post(f"{DELIVERIES}/replay", json=stated)).json()["data"]["results"] == {"redriven": 3}
    assert (await olga.post(f"{DELIVERIES}/replay", json=stated)).status_code == 409, "nothing is left to replay"

    async def sent() -> bool:
        now = await resources.stores.deliveries.of("dev", notification)
        return [row.state for row in now] == ["SENT"] * 3

    await eventually(sent)
    for row in rows:
        assert accepted(await calls(sandbox, row)) == [False, True]


async def test_a_replay_stops_at_ctrl_c_and_goes_on_when_it_is_begun_again(
    resources: Resources,
    variables: Mapping[str, str],
    workers: Child,
    sandbox: httpx2.AsyncClient,
    fault: Fault,
    unique: Unique,
) -> None:
    await fault("email", mode="permanent", times=3)
    notification = await send(resources, unique("order"), to=[{"email": f"{unique('p')}@example.com"} for _ in range(3)])

    async def states(*wanted: str) -> bool:
        rows = await resources.stores.deliveries.of("dev", notification)
        return sorted(row.state for row in rows) == sorted(wanted)

    await eventually(lambda: states("FAILED", "FAILED", "FAILED"))
    mine = ("dlq", "replay", "--notification", notification, "--yes")
    slow = await started(variables, *mine, "--rate", "0.1")
    await eventually(lambda: states("FAILED", "FAILED", "SENT"))
    slow.send_signal(signal.SIGINT)
    stopped = await ended(slow)
    assert (stopped.code, "Stopped after 1;" in stopped.errors, "Traceback" in stopped.errors) == (1, True, False)
    assert await states("FAILED", "FAILED", "SENT")
    assert "2 redriven" in (await carillon(variables, *mine)).output
    await eventually(lambda: states("SENT", "SENT", "SENT"))
    for row in await resources.stores.deliveries.of("dev", notification):
        assert accepted(await calls(sandbox, row)) == [False, True]


async def test_what_is_not_worth_it_is_discarded(
    resources: Resources, variables: Mapping[str, str], workers: Child, fault: Fault, unique: Unique
) -> None:
    await fault("slack", mode="permanent", times=1)
    notification = await send(resources, unique("order"), to={"slack": "default"})
    row = await in_state(resources, notification, "FAILED")

    async def is_listed(wanted: bool) -> bool:
        listed = await carillon(variables, "dlq", "list", "--deliveries", "--channel", "slack", "-n", "1000", "--json")
        return (row.delivery_id in {each["delivery_id"] for each in listed.document}) is wanted

    await eventually(lambda: is_listed(True))
    assert (await carillon(variables, "dlq", "discard", name_of(row), "--by", "olga", "--note", "a test")).code == 0
    await eventually(lambda: is_listed(False))
    shown = await carillon(variables, "dlq", "show", name_of(row), "--json")
    assert shown.document["state"] == "FAILED"
    last = shown.document["history"][-1]
    assert (last["event"], last["by"], last["note"]) == ("discarded", "olga", "a test")
    assert (await carillon(variables, "dlq", "show", f"{notification}/dlv_{'a' * 26}")).code == 1


async def test_what_nobody_can_tell_is_settled_by_a_person(
    resources: Resources,
    settings: Settings,
    variables: Mapping[str, str],
    processes: Processes,
    sandbox: httpx2.AsyncClient,
    fault: Fault,
    unique: Unique,
) -> None:
    """At most once: a provider that took the mail and never said so."""
    prod = settings.model_copy(update={"environments": ("prod",)})
    await create_topics(prod)
    await create_tables(prod)
    port, told = any_free_port(), {**variables, **PROD}
    own = {"WORKER_PORT": str(any_free_port()), "PORT": str(port), "PUBLIC_URL": f"http://localhost:{port}"}
    workers = await start_module(processes, "prod-workers", "consumers", "all", variables=told, extra=own)
    api = await start_module(processes, "prod-api", "api", variables=told, extra=own)
    await api.until(lambda: answers_ready(port))

    await fault("email", mode="drop_answer", times=2)
    first = await send(resources, unique("order"), "prod", to={"email": "ana@example.com"})
    row = await in_state(resources, first, "UNKNOWN", "prod", within_s=45)
    listed = await eventually(lambda: unknown_ones(told))
    assert [(each["delivery_id"], each["doubtful"]) for each in listed] == [(row.delivery_id, True)]
    settled = await carillon(told, "unknown", "settle", name_of(row), "--sent", "--by", "olga", "--note", "she has it")
    assert (settled.code, settled.output) == (0, f"{name_of(row)} is SENT.\n")
    again = await carillon(told, "unknown", "settle", name_of(row), "--sent", "--by", "olga")
    assert (again.code, "was before" in again.output) == (0, True)
    other = await carillon(told, "unknown", "settle", name_of(row), "--failed", "--by", "olga")
    assert (other.code, "is SENT: only what is UNKNOWN can be settled" in other.errors) == (1, True)

    request_id = unique("order")
    second = await send(resources, request_id, "prod", to={"email": "ben@example.com"})
    row = await in_state(resources, second, "UNKNOWN", "prod")
    headers = bearer(await token_of(variables, "olga"))
    async with httpx2.AsyncClient(base_url=own["PUBLIC_URL"], headers=headers, timeout=30) as olga:
        path = f"{DELIVERIES}/{name_of(row)}"
        answer = await olga.post(f"{path}/settle", json={"state": "FAILED", "note": "asked Ben"})
        assert answer.status_code == 200, answer.text
        assert (await olga.post(f"{path}/redrive")).json()["data"]["state"] == "PENDING"
    row = await in_state(resources, second, "SENT", "prod")
    assert len(await calls(sandbox, row)) == 2, "once in doubt, once because a person said so"

    async def all_finals() -> list[dict[str, int]] | None:
        found = sorted(await finals_of(settings, request_id, "prod"), key=lambda each: int(each["revision"]))
        counts = [each["counts"] for each in found]
        return counts if len(counts) == 3 else None

    assert await eventually(all_finals) == [{"UNKNOWN": 1}, {"FAILED": 1}, {"SENT": 1}]
    await api.stop()
    await workers.stop()


async def unknown_ones(variables: Mapping[str, str]) -> list[dict[str, Any]]:
    listed = await carillon(variables, "unknown", "list", "--json")
    assert listed.code == 0, listed.errors
    found: list[dict[str, Any]] = listed.document
    return found


async def test_a_refused_record_is_found_shown_and_refused_again_while_its_type_is_unknown(
    resources: Resources,
    settings: Settings,
    variables: Mapping[str, str],
    workers: Child,
    olga: httpx2.AsyncClient,
    unique: Unique,
) -> None:
    mark = unique("mark")
    value = json.dumps({"type": "order.shiped", "to": "ana", "variables": {"order": mark}}).encode()
    origin = await resources.publisher.publish(Outgoing(topics.requests("dev"), "ana", value))

    async def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await olga.get(QUARANTINE, params={"text": mark})).json()["data"]
        return found

    [entry] = await eventually(listed)
    assert (entry["reason"], entry["origin"], entry["mark"]) == ("unknown_type", str(origin), None)
    place = f"{entry['position']['partition']}/{entry['position']['offset']}"
    shown = await carillon(variables, "dlq", "show", place, "--json")
    assert (shown.document["value"]["text"], shown.document["key"]) == (value.decode(), "ana")

    replayed = await carillon(variables, "dlq", "replay", place, "--yes", "--by", "olga", "--wait", "20", "--json")
    assert (replayed.code, replayed.document["results"]) == (1, {"put back": 1})
    assert f"{place} was refused again: unknown_type" in replayed.errors
    newest, first = await listed()
    assert newest["replay_of"] == f"{topics.quarantine('dev')}/{place}"
    assert (first["mark"]["kind"], first["mark"]["by"]) == ("replayed", "olga")
    twice = await carillon(variables, "dlq", "replay", place, "--yes", "--by", "olga")
    assert (twice.code, "it was replayed by olga" in twice.errors) == (1, True)

    verdicts = [{"origin": None} | document(each) for each in await records_of(settings, topics.receipts("dev"))]
    [first_id] = [each["request_id"] for each in verdicts if each["origin"] == origin.model_dump()]
    assert [each["verdict"] for each in verdicts if each["request_id"] == first_id] == ["rejected"] * 2, "one identity"


async def test_a_record_that_is_good_again_is_one_notification_however_often_it_is_replayed(
    resources: Resources, workers: Child, variables: Mapping[str, str], olga: httpx2.AsyncClient, unique: Unique
) -> None:
    """A record in quarantine as it lies there when a bug is fixed: its bytes are a request by now."""
    mark, request_id = unique("mark"), unique("order")
    value = json.dumps({"to": mark, "message": "Late, but here", "request_id": request_id}).encode()
    headers = {"x-dlq-reason": "crash:KeyError", "x-dlq-origin": f"{topics.requests('dev')}/0/1", "x-dlq-errors": "[]"}
    place = await resources.publisher.publish(Outgoing(topics.quarantine("dev"), mark, value, headers))
    path = f"{QUARANTINE}/{place.partition}/{place.offset}"
    for body, status in (({}, 200), ({}, 409), ({"again": True}, 200)):
        assert (await olga.post(f"{path}/replay", json=body)).status_code == status
    row = await in_state(resources, notification_id("dev", "kafka", request_id), "SENT")
    assert row.recipient == mark

    async def both_were_read() -> bool:
        listed = await carillon(variables, "dlq", "list", "--quarantine", "--text", mark, "--json")
        return [each["mark"]["kind"] for each in listed.document] == ["replayed"]

    await eventually(both_were_read)
    items = await resources.stores.inbox.newest("dev", mark, before=None, limit=10)
    assert [item.message for item in items] == ["Late, but here"]


async def test_the_producer_hears_once_how_several_deliveries_ended(
    resources: Resources, settings: Settings, workers: Child, fault: Fault, unique: Unique
) -> None:
    await fault("slack", mode="permanent", times=1)
    request_id = unique("order")
    notification = await send(
        resources,
        request_id,
        to=[{"user": unique("p")}, {"slack": "default"}, {"user": unique("q")}],
        channels=["in_app", "slack"],
    )
    final = await the_final(settings, request_id, {"SENT": 2, "FAILED": 1, "SKIPPED": 2})
    rows = await resources.stores.deliveries.of("dev", notification)
    assert final["revision"] == sum(row.version for row in rows)
    assert final["notification_id"] == notification


async def test_the_list_shows_both_kinds_grouped(variables: Mapping[str, str], workers: Child) -> None:
    shown = await carillon(variables, "dlq", "list")
    assert shown.code == 0, shown.errors
    assert "DELIVERIES: " in shown.output
    assert "QUARANTINE: " in shown.output
    grouped = await carillon(variables, "dlq", "list", "--json")
    assert set(grouped.document) == {"deliveries", "quarantine"}


async def test_a_store_out_of_reach_is_a_sentence(variables: Mapping[str, str]) -> None:
    nowhere = f"http://127.0.0.1:{any_free_port()}"
    away = await carillon({**variables, "AWS_ENDPOINT_URL_DYNAMODB": nowhere}, "unknown", "list")
    assert (away.code, "out of reach" in away.errors, "Traceback" in away.errors) == (2, True, False)
