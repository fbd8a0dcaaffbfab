"""Two bodies are the same request when a reader would say so, and only then."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.durations import Duration
from schemas.identity import body_hash, canonical_body
from schemas.legacy import from_any
from schemas.requests import NotificationRequest

GATEWAY = {"notification_type": "email", "user_id": "ana", "template_code": "welcome_email", "variables": {"name": "Ana"}}


def a_request(**fields: Any) -> NotificationRequest:
    return NotificationRequest.model_validate(from_any({"to": "ana", "message": "Hi"} | fields))


def test_the_hash_never_changes() -> None:
    assert body_hash(a_request()) == "360cded8ede2d680e8aa8b7f3b6720684293cef96944c77cb4159fd16b18b3b2"


@pytest.mark.parametrize(
    "same",
    [
        {"to": [{"user": "ana"}]},
        {"to": {"user": "ana"}},
        {"message": {"body": "Hi", "title": "", "data": {}}},
        {"variables": {}, "metadata": {}},
        {"request_id": "r-1"},
        {"environment": "dev"},
        {"priority": None},
    ],
)
def test_what_only_looks_different_is_the_same_request(same: dict[str, Any]) -> None:
    assert body_hash(a_request(**same)) == body_hash(a_request())


@pytest.mark.parametrize(
    "other",
    [
        {"to": "ben"},
        {"to": ["ana", "ana"]},
        {"message": "Ho"},
        {"variables": {"a": None}},
        {"variables": {"a": "1"}},
        {"priority": "normal"},
        {"send_at": "2026-12-01T08:00:00Z"},
        {"channels": ["in_app"]},
    ],
)
def test_what_says_something_else_is_another_request(other: dict[str, Any]) -> None:
    assert body_hash(a_request(**other)) != body_hash(a_request())


def test_the_order_of_recipients_and_keys_does_not_count() -> None:
    one = a_request(to=[{"user": "ana"}, {"email": "c@x.io"}, {"all": True}], variables={"a": 1, "b": 2})
    two = a_request(to=[{"all": True}, {"email": "c@x.io"}, "ana"], variables={"b": 2.0, "a": 1})
    assert body_hash(one) == body_hash(two)


def test_one_moment_in_two_zones_is_one_moment() -> None:
    berlin = a_request(send_at="2026-12-01T09:00:00+01:00")
    assert body_hash(berlin) == body_hash(a_request(send_at="2026-12-01T08:00:00Z"))
    assert canonical_body(berlin)["send_at"] == "2026-12-01T08:00:00Z"


def test_the_gateway_body_and_its_modern_form_are_one_request() -> None:
    modern = {"to": "ana", "channels": ["email"], "template": "welcome_email", "variables": {"name": "Ana"}}
    assert body_hash(NotificationRequest.model_validate(from_any(GATEWAY))) == body_hash(
        NotificationRequest.model_validate(modern)
    )


def test_a_request_hashes_the_same_after_a_trip_through_kafka() -> None:
    request = a_request(to=["ana", {"email": "C@X.io"}], expires_at="2026-12-02T00:00:00.123456+05:30", metadata={"n": 0.1})
    travelled = NotificationRequest.model_validate_json(request.model_dump_json(exclude_defaults=True))
    assert body_hash(travelled) == body_hash(request)


DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


@pytest.mark.parametrize("written", ["15m", "PT15M", "900s", 900])
def test_a_duration_is_seconds_however_it_was_written(written: Any) -> None:
    assert DURATION.dump_python(DURATION.validate_python(written), mode="json") == 900


@pytest.mark.parametrize("written", ["15 m", "m", "-5m", "1.5h", "999999999999d"])
def test_a_duration_nobody_can_read_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(written)
