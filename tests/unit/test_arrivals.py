"""From a Kafka record to a request, or to the reason why not: sealed by an entrance, raw, or pretending."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.arrivals import Arrival, Arrivals, Refusal
from infrastructure.kafka.entrance import Entrance
from infrastructure.ports import Received
from schemas.base import iso
from schemas.cloudevents import ACCEPTED_AT
from schemas.ids import notification_id, record_request_id
from schemas.requests import NotificationRequest
from tests.fakes.publisher import FakePublisher

KEY = b"k" * 32
TOPIC = "notifications.dev.requests"
HI: dict[str, Any] = {"to": "ana", "message": "Hi"}
ARRIVALS = Arrivals((KEY,), ("shop",))


def a_record(
    body: Any = None, *, topic: str = TOPIC, offset: int = 41, at_ms: int = 1_800_000_000_000, **headers: str
) -> Received:
    value = (
        body if isinstance(body, bytes | None) and body is not None else json.dumps(HI if body is None else body).encode()
    )
    return Received(topic, 2, offset, at_ms, b"ana", value, tuple((name, text.encode()) for name, text in headers.items()))


def arrived(record: Received) -> Arrival:
    found = ARRIVALS.read(record)
    assert isinstance(found, Arrival), found
    return found


def refused(record: Received) -> Refusal:
    found = ARRIVALS.read(record)
    assert isinstance(found, Refusal), found
    return found


async def a_sealed_record(producer: str = "user:ana", request_id: str = "r-1", **changes: Any) -> Received:
    """What an entrance of ours writes, as route reads it."""
    publisher = FakePublisher()
    request = NotificationRequest.model_validate(HI | {"request_id": request_id})
    await Entrance(publisher, KEY).submit(
        request, entrance="http", environment="dev", producer=producer, request_id=request_id, correlation_id="c-1"
    )
    [sent] = publisher.records
    headers = {**sent.headers, **changes.get("headers", {})}
    encoded = tuple((name, text if isinstance(text, bytes) else text.encode()) for name, text in headers.items())
    return Received(
        changes.get("topic", sent.topic), 0, 7, 1_800_000_000_000, b"ana", changes.get("value", sent.value), encoded
    )


async def test_a_sealed_request_belongs_to_the_producer_it_names() -> None:
    found = arrived(await a_sealed_record())
    assert (found.producer, found.request_id, found.correlation_id) == ("user:ana", "r-1", "c-1")
    assert found.notification_id == notification_id("dev", "user:ana", "r-1")
    assert found.origin == f"{TOPIC}/0/7"


@pytest.mark.parametrize(
    "changes",
    [
        {"value": b'{"to":"eve","message":"Hi"}'},
        {"headers": {"ce_source": "user:ben"}},
        {"headers": {"ce_id": "r-2"}},
        {"topic": "notifications.prod.requests"},
        {"headers": {"x-carillon-seal": "0" * 64}},
        {"headers": {"x-carillon-seal": ""}},
    ],
)
async def test_a_seal_that_does_not_fit_is_an_unknown_source(changes: dict[str, Any]) -> None:
    found = refused(await a_sealed_record(**changes))
    assert (found.reason, found.producer) == ("unknown_source", "kafka")


def test_a_bare_record_is_kafkas_and_named_by_where_it_lies() -> None:
    found = arrived(a_record())
    value = json.dumps(HI).encode()
    assert found.producer == "kafka"
    assert found.request_id == record_request_id(TOPIC, 2, 41, 1_800_000_000_000, value)
    assert arrived(a_record(offset=42)).request_id != found.request_id


def test_the_bodys_own_id_wins_over_the_events_and_that_over_the_place() -> None:
    assert arrived(a_record(HI | {"request_id": "body"}, ce_id="event")).request_id == "body"
    assert arrived(a_record(ce_id="event")).request_id == "event"


def test_a_source_that_settings_let_in_raw_is_a_producer() -> None:
    assert arrived(a_record(ce_source="shop")).producer == "shop"


@pytest.mark.parametrize("claimed", ["user:ana", "legacy", "bridge", "SHOP", "shop "])
def test_nobody_raw_may_take_another_name(claimed: str) -> None:
    found = refused(a_record(ce_source=claimed))
    assert (found.reason, found.producer) == ("unknown_source", "kafka")


@pytest.mark.parametrize("header", ["r" * 201, "a\nb", "a\x00b"])
def test_an_event_id_nobody_can_write_down_is_refused_and_not_repeated(header: str) -> None:
    found = refused(a_record(ce_id=header))
    assert found.reason == "invalid"
    assert found.request_id.startswith("rec-")


def test_a_body_that_names_another_environment_is_refused() -> None:
    found = refused(a_record(HI | {"environment": "prod", "request_id": "r-1"}))
    assert (found.reason, found.request_id, found.errors[0].pointer) == ("wrong_environment", "r-1", "/environment")
    assert arrived(a_record(HI | {"environment": "dev"})).environment == "dev"


@pytest.mark.parametrize("value", [b"", b"not json", b'{"to":"a","to":"b"}', b"[1]", b"\xff"])
def test_bytes_that_are_no_request_are_unreadable(value: bytes) -> None:
    assert refused(a_record(value)).reason == "unreadable"


def test_a_tombstone_is_unreadable() -> None:
    assert refused(Received(TOPIC, 0, 0, 0, b"ana", None)).reason == "unreadable"


def test_a_field_that_is_wrong_is_named() -> None:
    found = refused(a_record({"to": "ana", "message": "Hi", "chanels": ["email"]}))
    assert (found.reason, [error.pointer for error in found.errors]) == ("invalid", ["/chanels"])


def test_the_older_forms_come_in_by_the_same_door() -> None:
    gateway = {"notification_type": "email", "user_id": "ana", "template_code": "welcome_email", "priority": 9}
    assert arrived(a_record(gateway)).request.priority == "urgent"


@pytest.mark.parametrize("at_ms", [-1, 0, -(2**63), 2**63 - 1])
def test_a_record_may_claim_any_time_and_is_read_all_the_same(at_ms: int) -> None:
    assert 1970 <= arrived(a_record(at_ms=at_ms)).accepted_at.year <= 9999


def accepted_before(moment: str) -> Received:
    return replace(a_record(), headers=((ACCEPTED_AT, moment.encode()),))


def test_what_waited_for_its_time_was_accepted_when_it_first_came() -> None:
    first = "2026-12-01T08:00:00.000Z"
    assert iso(arrived(accepted_before(first)).accepted_at) == first


@pytest.mark.parametrize("given", ["2099-01-01T00:00:00Z", "yesterday", "2026-12-01T08:00:00", ""])
def test_a_time_nobody_can_have_come_at_counts_for_nothing(given: str) -> None:
    assert arrived(accepted_before(given)).accepted_at == arrived(a_record()).accepted_at


@given(
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["ce_id", "ce_source", "x-carillon-seal", "traceparent"]), st.binary(max_size=40)),
)
def test_any_record_is_read_or_refused_and_nothing_else(value: bytes, headers: dict[str, bytes]) -> None:
    found = ARRIVALS.read(Received(TOPIC, 0, 0, 1, None, value, tuple(headers.items())))
    assert isinstance(found, Arrival | Refusal)
    assert found.producer in {"kafka", "shop"}
