import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.identity import body_hash
from schemas.legacy import (
    LegacyField,
    from_any,
    from_gateway,
    from_low_stock,
    from_publish,
    from_realtime,
    from_stream,
    read_low_stock,
)
from schemas.pointers import field_errors
from schemas.requests import CHANNELS, CancelRequest, NotificationRequest

GATEWAY = {
    "notification_type": "email",
    "user_id": "550e8400-e29b-41d4-a716-446655440000",
    "template_code": "welcome_email",
    "variables": {"name": "John Doe", "link": "https://example.com/verify"},
    "request_id": "req_123456789",
    "priority": 1,
}


def pointer_of(error: pytest.ExceptionInfo[ValueError]) -> str:
    return field_errors(error.value)[0].pointer


def test_a_published_message_goes_to_the_default_slack_target() -> None:
    request = NotificationRequest.model_validate(from_publish("Hello"))
    assert request.model_dump(mode="json", exclude_defaults=True) == {
        "to": [{"slack": "default"}],
        "message": {"body": "Hello"},
    }


def test_the_gateways_body_is_understood() -> None:
    assert from_gateway(GATEWAY) == {
        "to": [{"user": "550e8400-e29b-41d4-a716-446655440000"}],
        "channels": ["email"],
        "template": "welcome_email",
        "variables": {"name": "John Doe", "link": "https://example.com/verify"},
        "request_id": "req_123456789",
    }
    NotificationRequest.model_validate(from_gateway(GATEWAY))


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_notification_type_is_a_channel_of_ours_by_its_name(channel: str) -> None:
    assert from_gateway({**GATEWAY, "notification_type": channel})["channels"] == [channel]


def test_a_message_of_the_gateways_queues_is_its_body_under_the_gateways_id() -> None:
    """As its README prints it; the id is another name of the request id, where there is no other."""
    message = {**GATEWAY, "notification_id": "ntf_uuid", "metadata": {"source": "web"}}
    assert from_any(message) == {**from_gateway(GATEWAY), "metadata": {"source": "web"}}
    unnamed = {name: value for name, value in message.items() if name != "request_id"}
    assert from_any(unnamed)["request_id"] == "ntf_uuid"
    NotificationRequest.model_validate(from_any(message))


@pytest.mark.parametrize(
    ("priority", "said"), [(0, None), (1, None), (7, None), (8, "urgent"), (10, "urgent"), ("bulk", "bulk")]
)
def test_from_eight_of_ten_a_gateway_priority_is_urgent(priority: int | str, said: str | None) -> None:
    assert from_gateway({**GATEWAY, "priority": priority}).get("priority") == said


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"notification_type": "pigeon"}, "/notification_type"),
        ({"notification_type": None}, "/notification_type"),
        ({"user_id": 7}, "/user_id"),
        ({"user_id": ""}, "/user_id"),
        ({"template_code": 7}, "/template_code"),
        ({"notification_id": 7, "request_id": None}, "/notification_id"),
        ({"priority": True}, "/priority"),
        ({"priority": 11}, "/priority"),
        ({"priority": 1.5}, "/priority"),
        ({"to": "ana"}, "/to"),
        ({"channels": ["email"]}, "/channels"),
    ],
)
def test_a_bad_gateway_field_is_named(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(LegacyField) as error:
        from_gateway({**GATEWAY, **change})
    assert pointer_of(error) == pointer


def test_an_unknown_gateway_field_is_refused_by_the_request_itself() -> None:
    with pytest.raises(ValidationError) as error:
        NotificationRequest.model_validate(from_gateway({**GATEWAY, "colour": "red"}))
    assert pointer_of(error) == "/colour"


def test_the_realtime_body_names_people_topics_and_everybody() -> None:
    body = {"recipient_ids": ["user123"], "topics": ["news"], "broadcast": True, "message": "Hi"}
    assert from_realtime(body) == {
        "to": [{"user": "user123"}, {"topic": "news"}, {"all": True}],
        "channels": ["in_app"],
        "message": "Hi",
    }


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"message": "Hi"}, "/recipient_ids"),
        ({"recipient_ids": [], "broadcast": False, "message": "Hi"}, "/recipient_ids"),
        ({"recipient_ids": "user123", "message": "Hi"}, "/recipient_ids"),
        ({"topics": [1], "message": "Hi"}, "/topics"),
        ({"broadcast": "yes", "message": "Hi"}, "/broadcast"),
        ({"broadcast": True}, "/message"),
        ({"broadcast": True, "message": "Hi", "to": "ana"}, "/to"),
    ],
)
def test_a_bad_realtime_field_is_named(body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(LegacyField) as error:
        from_realtime(body)
    assert pointer_of(error) == pointer


def test_each_older_form_is_told_by_its_own_field() -> None:
    assert from_any(GATEWAY) == from_gateway(GATEWAY)
    assert from_any({"topics": ["news"], "message": "Hi"})["to"] == [{"topic": "news"}]
    assert from_any({"to": "ana", "message": "Hi"}) == {"to": "ana", "message": "Hi"}


def test_a_message_that_names_nobody_is_nobodys_outside_the_old_stream() -> None:
    with pytest.raises(ValidationError) as error:
        NotificationRequest.model_validate(from_any({"message": "Hi"}))
    assert pointer_of(error) == "/to"


@pytest.mark.parametrize("wrapper", ["data", "payload"])
def test_a_stream_entry_may_wrap_a_whole_request(wrapper: str) -> None:
    wrapped = {"to": "ana", "message": "Hi", "event_id": "e-1"}
    request = from_stream({wrapper: json.dumps(wrapped)})
    assert request == NotificationRequest.model_validate({"to": "ana", "message": "Hi", "request_id": "e-1"})


def test_a_wrapped_message_without_recipients_goes_to_slack_like_a_plain_one() -> None:
    assert from_stream({"data": '{"message": "Hi"}'}) == from_stream({"message": "Hi"})


def test_request_id_goes_before_event_id_and_that_before_id() -> None:
    ids = {"id": "3", "event_id": "2", "request_id": "1"}
    assert id_of({"message": "m", **ids}) == "1"
    assert id_of({"message": "m", "id": "3", "event_id": "2"}) == "2"
    assert id_of({"message": "m", "id": "3", "event_id": ""}) == "3"
    assert id_of({"message": "m"}) is None


def id_of(fields: dict[str, str]) -> str | None:
    request = from_stream(fields)
    assert isinstance(request, NotificationRequest)
    return request.request_id


def test_a_stream_entry_may_take_a_request_back() -> None:
    assert from_stream({"data": '{"cancel": "r-1"}'}) == CancelRequest(cancel="r-1")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "/message"),
        ({"text": "m"}, "/message"),
        ({"message": ""}, "/message/body"),
        ({"payload": "{"}, "/payload"),
        ({"data": "[]"}, "/data"),
        ({"data": '{"to": "ana", "to": "ben", "message": "m"}'}, "/data"),
        ({"message": "m", "id": "a\nb"}, "/request_id"),
        ({"message": "m", "environment": "mars"}, "/environment"),
        ({"data": '{"to": "ana", "message": "m", "id": ["x"]}'}, "/id"),
        ({"message": "m" * 300_000}, ""),
    ],
)
def test_a_bad_stream_field_is_named(fields: dict[str, str], pointer: str) -> None:
    with pytest.raises(ValueError) as error:
        from_stream(fields)
    assert pointer_of(error) == pointer


FIELDS = {"product_id": "7", "name": "Teapot", "stock": "2"}


@pytest.mark.parametrize(
    "entry",
    [
        FIELDS,
        {"data": json.dumps(FIELDS)},
        {"payload": json.dumps(FIELDS)},
        {"message": json.dumps(FIELDS)},
        {"product_id": "7", "data": '{"name": "Teapot", "stock": "2"}'},
    ],
)
def test_low_stock_reads_alike_flat_and_wrapped(entry: dict[str, str]) -> None:
    request = from_low_stock(entry)
    assert request.model_dump(mode="json", exclude_defaults=True) == {
        "type": "inventory.low-stock",
        "to": [{"topic": "inventory.low-stock"}],
        "variables": FIELDS,
    }


def test_the_channel_and_the_stream_say_the_same_notification() -> None:
    said = read_low_stock(json.dumps({**FIELDS, "event_id": "e-1"}).encode())
    stored = from_low_stock({**FIELDS, "event_id": "e-1"})
    assert said.request_id == stored.request_id == "e-1"
    assert body_hash(said) == body_hash(stored)


def test_a_plain_text_message_is_a_variable_among_others() -> None:
    assert from_low_stock({"product_id": "7", "message": "running low"}).variables["message"] == "running low"


@pytest.mark.parametrize("payload", [b"", b"text", b"[]", b"{}", b'{"data": "{"}', b'{"id": {}}', b"\xff", b'{"a": NaN}'])
def test_unreadable_low_stock_is_an_error(payload: bytes) -> None:
    with pytest.raises(ValueError):
        read_low_stock(payload)


@given(st.dictionaries(st.text(), st.text()))
def test_whatever_fields_an_entry_has_it_is_a_request_or_a_value_error(fields: dict[str, str]) -> None:
    for mapping in (from_stream, from_low_stock):
        try:
            request = mapping(fields)
        except ValueError as error:
            assert field_errors(error)
        else:
            assert NotificationRequest.model_validate_json(request.model_dump_json()) == request


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KNOWN = st.sampled_from(["notification_type", "user_id", "template_code", "priority", "recipient_ids", "topics", "message"])


@given(st.dictionaries(KNOWN | st.text(max_size=3), JSON))
def test_whatever_a_body_says_it_is_a_request_or_a_value_error(body: dict[str, Any]) -> None:
    try:
        NotificationRequest.model_validate(from_any(body))
    except ValueError as error:
        assert field_errors(error)
