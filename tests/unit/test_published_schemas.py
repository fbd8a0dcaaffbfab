"""What is published for producers says what the entrances do, wherever JSON Schema can say it."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from infrastructure.kafka.reporting import Reporter
from schemas.events import Receipt, StatusEvent
from schemas.published import receipt_schema, request_schema, status_event_schema
from schemas.requests import CancelRequest, NotificationRequest, RescheduleRequest, read_object
from tests.fakes.publisher import FakePublisher
from tests.unit.test_requests import EVERYTHING

Body = dict[str, Any]


def as_ecma(validator: Any, pattern: str, text: Any, schema: Any) -> Any:
    """JSON Schema's patterns are ECMA-262's: `$` is the end of the text, not before a last line break; digits are 0 to 9."""
    del validator, schema
    if isinstance(text, str) and not re.search(pattern.replace("$", r"\Z"), text, re.ASCII if r"\d" in pattern else 0):
        yield jsonschema.ValidationError(f"{text!r} does not match {pattern}")


def a_validator(schema: Body) -> Any:
    jsonschema.Draft202012Validator.check_schema(schema)
    extended = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": as_ecma})  # type: ignore[no-untyped-call]
    return extended(schema)


SCHEMA = a_validator(request_schema())


def entrance_takes(body: Body) -> bool:
    """As `consumers/arrivals.py` reads a record, before it looks into the store or the catalogue."""
    model = RescheduleRequest if "reschedule" in body else CancelRequest if "cancel" in body else NotificationRequest
    try:
        model.model_validate(read_object(json.dumps(body).encode()))
    except ValueError:
        return False
    return True


NUMBERS = (0, 1, -1, 1.5, True)
NONSENSE: tuple[Any, ...] = ("", " ", [], {}, ["x"], {"x": 1}, None, "x" * 300, "a\nb", "a\n", "\x00", "é", "日本")


def often(*good: Any, bad: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Good ones most of the time, so that whole bodies are good now and then."""
    return no_numbers(*good, bad=(*bad, *NUMBERS))


def no_numbers(*good: Any, bad: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Where an entrance would make something of most numbers (`LENIENT`)."""
    return mostly(st.sampled_from(good), st.sampled_from((*bad, *NONSENSE)))


def mostly(usual: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(1, 40).flatmap(lambda n: seldom if n == 7 else usual)


def an_object(needed: dict[str, Any], more: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Sometimes without what it needs, sometimes with what it must not have."""
    usual = st.fixed_dictionaries(needed, optional=more)
    return mostly(usual, st.fixed_dictionaries({}, optional={**needed, **more, "unknown": st.just(1)}))


SLUG = often("orders", "order.shipped:v1", "A" * 128, bad=("-x", "a b", "x" * 129, "a#b", "Ünder"))
NAME = often("ana", "auth0|1", "é" * 128, bad=("a#b", "a b", "x" * 129))
MAIL = often("c@example.com", "ana+x@example.org", bad=("nobody", "@", "a@b@c"))
KEY = often("post-7", "x y", "y" * 128)
WORD = often("Hi", "日本 🎉", "x" * 100)
LINK = often(
    "/o/42", "/", "https://example.com/x?y=1", bad=("//evil.example", "javascript:x", "ftp://x", "/\\x", "/" + "x" * 2000)
)
SPAN = no_numbers(
    "1s",
    "90s",
    "15m",
    "7d",
    "PT1H",
    "P1DT2H",
    60,
    0.5,
    90.5,
    604800,
    bad=("5", "5 m", "1w", "soon", 604801, "P", "PT", "1.5h"),
)
MOMENT = no_numbers(
    "2026-12-01T08:00:00Z", "2026-12-01T08:00+02:00", "2026-12-01 08:00:00.5Z", bad=("2026-12-01", "noon", "2026-12-01T")
)
WALL = no_numbers("2026-12-01T09:00", "2026-12-01T08:00:00Z", bad=("2026-12-01", "09:00", "tomorrow"))
CHANNELS = often(["in_app"], ["email", "slack"], bad=([], ["fax"], ["in_app"] * 4, "email"))
FREE = often({}, {"order": "42", "n": [1, None, {"x": True}]}, bad=([1], "x"))
TARGET = st.one_of(
    NAME,
    an_object({"user": NAME}, {"email": MAIL}),
    an_object({"email": MAIL}, {}),
    an_object({"slack": SLUG}, {}),
    an_object({"topic": SLUG}, {}),
    an_object({"all": often(True, bad=(False,))}, {}),
)
TO = st.one_of(TARGET, st.lists(TARGET, min_size=0, max_size=3), st.integers(99, 102).map(lambda n: ["ana"] * n))
ACTION = an_object({"label": WORD, "url": LINK}, {})
MESSAGE = st.one_of(
    often("Hi", "x" * 40_000, bad=("x" * 40_001,)),
    an_object(
        {"body": often("Hi", "é" * 40_000, bad=("x" * 40_001,))},
        {"title": WORD, "url": LINK, "actions": st.lists(ACTION, max_size=6), "data": FREE},
    ),
)
DIGEST = st.one_of(
    often(False, None, bad=(True,)),
    an_object(
        {},
        {
            "key": KEY,
            "window": no_numbers("15m", 60, "PT1H"),
            "mode": often("fixed", "sliding", bad=("tumbling",)),
            "max": no_numbers("1d", 86400, 604801),
            "limit": no_numbers(1, 20, 50, bad=(51, 2.5)),
            "template": SLUG,
            "by_choice": st.sampled_from((True, False, None)),
        },
    ),
)
STEP = an_object({"after": SPAN, "channels": CHANNELS}, {"unless": often("seen", "read", "clicked", bad=("opened",))})
ENVIRONMENT = often("dev", "prod", bad=("staging",))
REQUESTS = an_object(
    {"to": TO},
    {
        "type": SLUG,
        "message": MESSAGE,
        "template": SLUG,
        "variables": FREE,
        "category": SLUG,
        "channels": CHANNELS,
        "collapse_key": KEY,
        "fallback": st.lists(STEP, max_size=5),
        "priority": often("urgent", "normal", "bulk", bad=("high",)),
        "send_at": WALL,
        "expires_at": MOMENT,
        "digest": DIGEST,
        "request_id": KEY,
        "environment": ENVIRONMENT,
        "metadata": FREE,
    },
)
BODIES = st.one_of(
    REQUESTS,
    an_object({"to": NAME, "message": MESSAGE}, {"digest": DIGEST, "priority": st.just("bulk")}),
    an_object({"cancel": KEY}, {"environment": ENVIRONMENT}),
    an_object({"reschedule": KEY, "send_at": WALL}, {"environment": ENVIRONMENT}),
)


SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


def a_request(**more: Any) -> Body:
    return {"to": "ana", "message": "Hi", **more}


@settings(max_examples=500, deadline=None, suppress_health_check=SLOW)
@given(BODIES)
@example(a_request(to=["ana"] * 100))
@example(a_request(to=["ana"] * 101))
@example(a_request(to=[]))
@example(a_request(send_at="tomorrow"))
@example(a_request(send_at="2026-12-01"))
@example({"reschedule": "r", "send_at": "noon"})
@example(a_request(fallback=[{"after": 604_801, "channels": ["email"]}]))
@example(a_request(template="t"))
@example({"to": "ana", "message": None})
def test_the_schema_and_the_entrances_say_the_same(body: Body) -> None:
    taken = entrance_takes(body)
    event(f"taken: {taken}")
    errors = [error.message[:300] for error in SCHEMA.iter_errors(body)]
    assert taken is not bool(errors), errors


@pytest.mark.parametrize(
    "body",
    [
        a_request(variables={"x": "x" * 256 * 1024}),
        a_request(message={"body": "Hi", "data": {"x": "x" * 128 * 1024}}),
        a_request(variables={"n": 2**53}),
        a_request(expires_at="2026-02-30T08:00:00Z"),
        a_request(to={"email": "ana@-"}),
        a_request(fallback=[{"after": "8d", "channels": ["email"]}]),
        a_request(digest={"window": "2h", "max": "1h"}),
    ],
)
def test_what_no_schema_can_say_is_said_by_the_entrance(body: Body) -> None:
    """`UNSAYABLE`, but for what a deployment knows."""
    assert SCHEMA.is_valid(body)
    assert not entrance_takes(body)


@pytest.mark.parametrize(
    "body",
    [
        a_request(expires_at="2026-12-01t08:00:00z"),
        a_request(digest={"window": "01:30:00"}),
    ],
)
def test_an_entrance_takes_a_little_more_than_it_asks_for(body: Body) -> None:
    """`LENIENT`, but for the older services' bodies, which are mapped first."""
    assert not SCHEMA.is_valid(body)
    assert entrance_takes(body)


def test_a_request_with_everything_is_one() -> None:
    assert SCHEMA.is_valid(EVERYTHING)
    assert entrance_takes(EVERYTHING)


def test_what_we_write_to_kafka_ourselves_is_a_request_of_the_schema() -> None:
    """The API and the bridge produce the long form."""
    written = NotificationRequest.model_validate(EVERYTHING | {"digest": {"window": "15m"}}).model_dump_json()
    assert SCHEMA.is_valid(json.loads(written)), [error.message[:300] for error in SCHEMA.iter_errors(json.loads(written))]


AT = datetime(2026, 12, 1, 8, tzinfo=UTC)


async def test_what_workers_write_is_what_its_schema_says() -> None:
    publisher = FakePublisher()
    reporter = Reporter(publisher, "route")
    await reporter.receipt("dev", Receipt(producer="shop", request_id="r1", notification_id=None, verdict="rejected", at=AT))
    told = StatusEvent(environment="dev", notification_id="ntf_x", event="sent", at=AT, state="SENT")
    await reporter.status(told, correlation_id="", traceparent="")
    written = [json.loads(record.value or "{}") for record in publisher.records]
    for schema, value in zip((receipt_schema(), status_event_schema()), written, strict=True):
        validator = a_validator(schema)
        assert not [error.message for error in validator.iter_errors(value)]
        assert validator.is_valid({**value, "added_later": 1})
        assert not validator.is_valid({**value, "at": "yesterday"})
        assert not validator.is_valid({})
