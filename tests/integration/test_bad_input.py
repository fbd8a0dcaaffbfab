"""Whatever arrives, good neighbours are delivered, and whoever sent the bad one learns which field it was."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas import topics
from schemas.events import Position
from tests.eventually import eventually
from tests.kafka_log import document, records_of, text_headers
from tests.tokens import bearer, machine_token

REQUESTS = topics.requests("dev")


@dataclass(frozen=True)
class Bad:
    """A record that is no request: what is refused, why, and the pointers the receipt must name."""

    name: str
    value: bytes | None
    reason: str
    pointers: tuple[str, ...] = ("",)
    headers: dict[str, str] = field(default_factory=dict)


def _json(**fields: Any) -> bytes:
    return json.dumps({"to": "ana", "message": "Hi", **fields}).encode()


def _deep(levels: int) -> bytes:
    return b'{"to": "ana", "message": "Hi", "variables": {"x": ' + b"[" * levels + b"]" * levels + b"}}"


BAD = (
    Bad("not JSON", b"order 42 has shipped", "unreadable"),
    Bad("cut UTF-8", '{"to": "ana", "message": "späť"}'.encode()[:-3], "unreadable"),
    Bad("a bare NUL", b'{"to": "ana", "message": "a\x00b"}', "unreadable"),
    Bad("NUL alone", b"\x00", "unreadable"),
    Bad("900 kB", _json(message="x" * 900_000), "unreadable"),
    Bad("nested 10,000 deep", _deep(10_000), "unreadable"),
    Bad("100,000 keys", json.dumps({f"k{number}": 0 for number in range(60_000)}).encode(), "unreadable"),
    Bad("20,000 keys that fit", json.dumps({f"{number}": 0 for number in range(20_000)}).encode(), "invalid", ("/to",)),
    Bad("the same key twice", b'{"to": "ana", "to": "ben", "message": "Hi"}', "unreadable"),
    Bad("NaN", b'{"to": "ana", "message": "Hi", "variables": {"x": NaN}}', "unreadable"),
    Bad("1e999", b'{"to": "ana", "message": "Hi", "variables": {"x": 1e999}}', "unreadable"),
    Bad(
        "an integer nobody else can read",
        b'{"to": "ana", "message": "Hi", "variables": {"x": 98765432109876543210}}',
        "unreadable",
    ),
    Bad("half a surrogate pair", b'{"to": "ana", "message": "Hi", "variables": {"x": "\\ud800"}}', "unreadable"),
    Bad("a list", b"[1, 2, 3]", "unreadable"),
    Bad("a tombstone", None, "unreadable"),
    Bad("empty", b"", "unreadable"),
    Bad("an unknown field", _json(colour="red"), "invalid", ("/colour",)),
    Bad("an address that is none", _json(to=[{"email": "ana at example"}]), "invalid", ("/to/0/email",)),
    Bad("the last hours of time", _json(send_at="9999-12-31T23:59:59-12:00"), "invalid", ("/send_at",)),
    Bad("an unknown type", _json(type="order.lost"), "unknown_type", ("/type",)),
    Bad("an unknown template", json.dumps({"to": "ana", "template": "nope"}).encode(), "unknown_template", ("/template",)),
    Bad("a type of another version of us", _json(ce_type="carillon.request.v9"), "invalid", ("/ce_type",)),
    Bad("somebody else's name", _json(), "unknown_source", headers={"ce_source": "user:ben", "ce_id": "1"}),
    Bad("a forged seal", _json(), "unknown_source", headers={"ce_source": "user:ben", "x-carillon-seal": "0" * 64}),
    Bad("another environment", _json(environment="prod"), "wrong_environment", ("/environment",)),
)


async def test_every_bad_record_is_put_aside_with_its_reason_and_its_neighbours_arrive(
    resources: Resources, settings: Settings, workers: Child, unique: Callable[[str], str]
) -> None:
    person = unique("ana")
    origins: dict[str, Bad] = {}
    for number, bad in enumerate(BAD):
        await good(resources, person, number)
        place = await resources.publisher.publish(Outgoing(REQUESTS, person, bad.value, bad.headers))
        origins[str(place)] = bad
    await good(resources, person, len(BAD))

    await eventually(lambda: has_items(resources, person, len(BAD) + 1))
    items = await resources.stores.inbox.newest("dev", person, before=None, limit=100)
    assert sorted(int(item.message) for item in items) == list(range(len(BAD) + 1))

    quarantined = await eventually(lambda: put_aside(settings, origins.keys()))
    for origin, bad in origins.items():
        record = quarantined[origin]
        headers = text_headers(record)
        assert (record.value, record.key) == (bad.value, person.encode()), bad.name
        assert headers["x-dlq-reason"] == bad.reason, bad.name
        assert set(bad.pointers) <= set(pointers_of(json.loads(headers["x-dlq-errors"]))), bad.name
        assert bad.headers.items() <= headers.items(), bad.name

    receipts = await receipts_by_origin(settings)
    for origin, bad in origins.items():
        receipt = receipts[origin]
        assert receipt["verdict"] == "rejected", bad.name
        assert set(bad.pointers) <= set(pointers_of(receipt["errors"])), bad.name
        assert all(error["detail"] for error in receipt["errors"]), bad.name


async def test_a_request_id_stands_for_its_first_body(
    resources: Resources, settings: Settings, workers: Child, unique: Callable[[str], str]
) -> None:
    person, request_id = unique("ana"), unique("order")
    places = [
        await resources.publisher.publish(Outgoing(REQUESTS, person, json.dumps(body).encode()))
        for body in (
            {"to": person, "message": "first", "request_id": request_id},
            {"to": person, "message": "another", "request_id": request_id},
            {"message": {"body": "first"}, "request_id": request_id, "to": [{"user": person}]},
        )
    ]

    receipts = await eventually(lambda: receipts_for(settings, places))
    assert [receipt["verdict"] for receipt in receipts] == ["accepted", "rejected", "duplicate"]
    assert pointers_of(receipts[1]["errors"]) == ("/request_id",)
    [item] = await eventually(lambda: resources.stores.inbox.newest("dev", person, before=None, limit=10))
    assert item.message == "first"


async def test_a_record_without_a_key_is_as_good_as_any(
    resources: Resources, workers: Child, unique: Callable[[str], str]
) -> None:
    person = unique("ana")
    await resources.publisher.publish(Outgoing(REQUESTS, None, json.dumps({"to": person, "message": "keyless"}).encode()))
    [item] = await eventually(lambda: resources.stores.inbox.newest("dev", person, before=None, limit=10))
    assert item.message == "keyless"


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.value and bad.reason in {"unreadable", "invalid"}], ids=str)
async def test_over_http_the_same_kinds_are_refused_by_name(ana: httpx2.AsyncClient, bad: Bad) -> None:
    answer = await ana.post("/api/v1/notifications", content=bad.value, headers={"content-type": "application/json"})
    expected = 413 if len(bad.value or b"") > 256 * 1024 else 400 if bad.reason == "unreadable" else 422
    assert answer.status_code == expected, answer.text
    body = answer.json()
    assert body["success"] is False
    assert body["error"]["status"] == expected
    assert body["error"]["correlation_id"] == answer.headers["x-correlation-id"]
    if expected == 422:
        assert set(bad.pointers) <= {error["pointer"] for error in body["error"]["errors"]}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"type": "order.lost", "message": "Hi"}, "/type"),
        ({"type": "order.lost"}, "/type"),
        ({"template": "nope"}, "/template"),
    ],
)
async def test_over_http_a_type_or_template_nobody_knows_is_refused_by_name(
    ana: httpx2.AsyncClient, body: dict[str, str], pointer: str
) -> None:
    answer = await ana.post("/api/v1/notifications", json={"to": "ana", **body})
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["error"]["errors"]
    assert (error["pointer"], "is named" in error["detail"]) == (pointer, True)


async def test_over_http_ids_that_disagree_and_bodies_that_changed_are_told_apart(
    ana: httpx2.AsyncClient, unique: Callable[[str], str]
) -> None:
    body = {"to": "ana", "message": "Hi", "request_id": unique("order")}
    assert (await ana.post("/api/v1/notifications", json=body)).status_code == 202
    changed = await ana.post("/api/v1/notifications", json={**body, "message": "changed"})
    two_ids = await ana.post("/api/v1/notifications", json=body, headers={"Idempotency-Key": unique("other")})
    assert (changed.status_code, changed.json()["error"]["type"]) == (409, "request_id_conflict")
    assert two_ids.status_code == 422
    assert pointers_of(two_ids.json()["error"]["errors"]) == ("/request_id",)


async def test_over_http_who_may_not_is_told_so(api: str, ana: httpx2.AsyncClient, variables: Mapping[str, str]) -> None:
    broadcast = {"to": {"all": True}, "message": "Hi everybody"}
    async with httpx2.AsyncClient(base_url=api) as client:
        nobody = await client.post("/api/v1/notifications", json=broadcast)
        wrong = await client.post("/api/v1/notifications", json=broadcast, headers=bearer("ey.ey.ey"))
        ana_may_not = await ana.post("/api/v1/notifications", json=broadcast)
        to_a_topic = await ana.post("/api/v1/notifications", json={**broadcast, "to": {"topic": "x"}})
        unknown = await ana.get(f"/api/v1/notifications/ntf_{'a' * 26}")
        nowhere = await ana.get("/api/v1/nowhere")
        machine = bearer(await machine_token(variables))
        served = await client.post("/api/v1/notifications", json={**broadcast, "environment": "prod"}, headers=machine)
    assert [nobody.status_code, wrong.status_code] == [401, 401]
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert [ana_may_not.status_code, to_a_topic.status_code] == [403, 403]
    assert "notifications:broadcast" in ana_may_not.json()["error"]["detail"]
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_known_yet")
    assert nowhere.status_code == 404
    assert (served.status_code, pointers_of(served.json()["error"]["errors"])) == (422, ("/environment",))


async def good(resources: Resources, person: str, number: int) -> None:
    value = json.dumps({"to": person, "message": str(number)}).encode()
    await resources.publisher.publish(Outgoing(REQUESTS, person, value))


async def has_items(resources: Resources, person: str, wanted: int) -> bool:
    return len(await resources.stores.inbox.newest("dev", person, before=None, limit=100)) == wanted


async def put_aside(settings: Settings, origins: Any) -> dict[str, Any] | None:
    found = {text_headers(each)["x-dlq-origin"]: each for each in await records_of(settings, topics.quarantine("dev"))}
    return found if origins <= found.keys() else None


async def receipts_by_origin(settings: Settings) -> dict[str, dict[str, Any]]:
    receipts = map(document, await records_of(settings, topics.receipts("dev")))
    answers = (receipt for receipt in receipts if receipt["verdict"] != "final")  # those are about no record
    return {str(Position.model_validate(receipt["origin"])): receipt for receipt in answers}


async def receipts_for(settings: Settings, places: list[Position]) -> list[dict[str, Any]] | None:
    found = await receipts_by_origin(settings)
    wanted = [str(place) for place in places]
    return [found[place] for place in wanted] if found.keys() >= set(wanted) else None


def pointers_of(errors: list[dict[str, str]]) -> tuple[str, ...]:
    return tuple(error["pointer"] for error in errors)
