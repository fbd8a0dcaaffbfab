"""One shape for every entrance: what it takes, and how it names what is wrong."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.pointers import field_errors
from schemas.requests import (
    MAX_INTEGER,
    MAX_NESTING,
    MAX_RECIPIENTS,
    MAX_REQUEST_BYTES,
    EmailTarget,
    EveryoneTarget,
    NotificationRequest,
    PersonTarget,
    SlackTarget,
    TopicTarget,
    UnreadableJson,
    read_object,
)

EVERYTHING: dict[str, Any] = {
    "to": [{"user": "u1"}, {"email": "c@x.io"}, {"topic": "news"}, {"slack": "ops"}, {"all": True}],
    "message": {
        "title": "Hi",
        "body": "…",
        "url": "/o/42",
        "actions": [{"label": "Open", "url": "https://x.io/o/42"}],
        "data": {"n": 1},
    },
    "variables": {},
    "category": "orders",
    "channels": ["in_app", "email"],
    "priority": "normal",
    "send_at": "2026-12-01T08:00:00Z",
    "expires_at": "2026-12-02T08:00:00Z",
    "request_id": "order-42-shipped",
    "metadata": {"shop": "x"},
}


def pointers(body: dict[str, Any]) -> list[str]:
    """Where the request says it is wrong."""
    with pytest.raises(ValueError) as caught:
        NotificationRequest.model_validate(body)
    return [error.pointer for error in field_errors(caught.value)]


def test_the_everyday_form_needs_only_type_and_recipient() -> None:
    request = NotificationRequest.model_validate({"type": "order.shipped", "to": "ana", "variables": {"order": "42"}})
    assert request.to == (PersonTarget(user="ana"),)


def test_a_text_is_a_message() -> None:
    request = NotificationRequest.model_validate({"to": "ana", "message": "Hi"})
    assert request.message is not None
    assert request.message.body == "Hi"


def test_the_long_form_says_everything() -> None:
    request = NotificationRequest.model_validate(EVERYTHING)
    assert request.to == (
        PersonTarget(user="u1"),
        EmailTarget(email="c@x.io"),
        TopicTarget(topic="news"),
        SlackTarget(slack="ops"),
        EveryoneTarget(all=True),
    )


def test_a_person_may_come_with_another_address() -> None:
    request = NotificationRequest.model_validate({"to": [{"user": "u1", "email": "c@x.io"}], "message": "Hi"})
    assert request.to == (PersonTarget(user="u1", email="c@x.io"),)


def test_a_request_cannot_be_changed_afterwards() -> None:
    request = NotificationRequest.model_validate(EVERYTHING)
    with pytest.raises(ValueError, match="frozen"):
        request.category = "other"  # type: ignore[misc]  # that is what is tested


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("nobody", {"to": []}, "/to"),
    ("to is missing", {"to": None}, "/to"),
    ("a number is nobody", {"to": [7]}, "/to/0"),
    ("a list is nobody", {"to": [["ana"]]}, "/to/0"),
    ("an empty name", {"to": ""}, "/to/0/user"),
    ("a name with a line break", {"to": "a\nb"}, "/to/0/user"),
    ("a name with our separator", {"to": "a#b"}, "/to/0/user"),
    ("no kind of target", {"to": [{"phone": "1"}]}, "/to/0"),
    ("an unknown field in a target", {"to": ["ana", {"user": "b", "phone": "1"}]}, "/to/1/phone"),
    ("a bad address", {"to": [{"email": "nope"}]}, "/to/0/email"),
    ("two addresses in one", {"to": [{"email": "a@x.io, b@x.io"}]}, "/to/0/email"),
    ("a Slack URL", {"to": [{"slack": "https://hooks.slack.com/a b"}]}, "/to/0/slack"),
    ("all but not quite", {"to": [{"all": False}]}, "/to/0/all"),
    ("too many", {"to": ["p"] * (MAX_RECIPIENTS + 1)}, "/to"),
    ("an unknown field", {"user_id": "eve"}, "/user_id"),
    ("a field with a slash", {"a/b~c": 1}, "/a~1b~0c"),
    ("an empty message", {"message": ""}, "/message/body"),
    ("a message that is a number", {"message": 1}, "/message"),
    ("an unknown field in the message", {"message": {"body": "x", "html": "<b>"}}, "/message/html"),
    ("a script as link", {"message": {"body": "x", "url": "javascript:alert(1)"}}, "/message/url"),
    ("another site in disguise", {"message": {"body": "x", "url": "//evil.example"}}, "/message/url"),
    ("a backslash in disguise", {"message": {"body": "x", "url": "/\\evil.example"}}, "/message/url"),
    (
        "a script as action",
        {"message": {"body": "x", "actions": [{"label": "a", "url": "data:text/html,x"}]}},
        "/message/actions/0/url",
    ),
    ("an unknown channel", {"channels": ["in_app", "fax"]}, "/channels/1"),
    ("no channel", {"channels": []}, "/channels"),
    ("an unknown priority", {"priority": "high"}, "/priority"),
    ("an end without zone", {"expires_at": "2026-12-01T08:00:00"}, "/expires_at"),
    ("a date without a time", {"send_at": "2026-12-01"}, "/send_at"),
    ("a wall clock after the end of the calendar", {"send_at": "9999-12-31T23:59"}, "/send_at"),
    ("a time that is none", {"expires_at": "soon"}, "/expires_at"),
    ("a number for a time", {"expires_at": 1795219200}, "/expires_at"),
    ("a number in a text for a time", {"expires_at": "1.8e9"}, "/expires_at"),
    ("a number for the time to send at", {"send_at": 1795219200}, "/send_at"),
    ("a time after the end of the calendar", {"send_at": "9999-12-31T23:59:59-05:00"}, "/send_at"),
    ("an empty request id", {"request_id": ""}, "/request_id"),
    ("a long request id", {"request_id": "r" * 201}, "/request_id"),
    ("a request id with a line break", {"request_id": "a\r\nb"}, "/request_id"),
    ("an unknown environment", {"environment": "staging"}, "/environment"),
    ("variables as a list", {"variables": [1]}, "/variables"),
    ("two contents", {"template": "welcome"}, ""),
    ("no content", {"message": None}, ""),
]


@pytest.mark.parametrize(("change", "pointer"), [(change, at) for _, change, at in BAD], ids=[name for name, _, _ in BAD])
def test_what_is_wrong_is_named_by_its_pointer(change: dict[str, Any], pointer: str) -> None:
    assert pointers({"to": "ana", "message": "Hi"} | change) == [pointer]


def test_a_refusal_never_repeats_what_was_sent() -> None:
    with pytest.raises(ValueError) as caught:
        NotificationRequest.model_validate(
            {"to": [{"email": "secret-canary"}], "message": {"body": 7}, "x": "secret-canary"}
        )
    assert "secret-canary" not in repr(field_errors(caught.value))


UNREADABLE = [
    (b"", "nothing"),
    (b"[]", "a list"),
    (b'"text"', "a text"),
    (b"null", "null"),
    (b"{", "cut off"),
    (b"{} {}", "two"),
    (b'{"a":1,}', "a comma too many"),
    (b'{"to":"a","to":"b"}', "the same key twice"),
    (b'{"x":{"a":1,"a":1}}', "the same key twice inside"),
    (b'{"a":NaN}', "NaN"),
    (b'{"a":-Infinity}', "infinity"),
    (b'{"a":1e999}', "too large"),
    (b'{"a":9007199254740992}', "beyond exact integers"),
    (b'{"a":' + b"9" * 5000 + b"}", "beyond reason"),
    (b'{"a":"\xff"}', "no UTF-8"),
    (b'{"a":"\xed\xa0\x80"}', "a surrogate in UTF-8"),
    (b'{"a":"\\ud800"}', "half a character"),
    (b'{"\\UD800":1}', "no escape"),
    (b'{"\\udfff":1}', "half a character as key"),
    (b'{"a":"\x00"}', "a control character"),
    (b"\xef\xbb\xbf{}", "a byte order mark"),
    (b'{"a":"' + b"x" * MAX_REQUEST_BYTES + b'"}', "too many bytes"),
]


@pytest.mark.parametrize("payload", [payload for payload, _ in UNREADABLE], ids=[name for _, name in UNREADABLE])
def test_bytes_that_are_not_one_json_object_are_refused_in_words(payload: bytes) -> None:
    with pytest.raises(UnreadableJson):
        read_object(payload)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_nesting_is_counted_before_anything_recursive_reads_the_bytes() -> None:
    assert read_object(nested(MAX_NESTING))
    for depth in (MAX_NESTING + 1, 20_000):
        with pytest.raises(UnreadableJson, match="nested"):
            read_object(nested(depth))


def test_brackets_in_a_text_neither_count_nor_hide_others() -> None:
    assert read_object(b'{"a":"' + b"[" * 100 + b'\\"[{"}')
    closers = b'{"a":"' + b"]" * 20_000 + b'","b":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    with pytest.raises(UnreadableJson, match="nested"):
        read_object(closers)


@pytest.mark.parametrize("payload", [b'"\\' * 100_000, b'"' * 200_000, b'\\"' * 100_000, b"{" + b'"a\\' * 60_000])
def test_a_payload_made_to_slow_the_parser_down_is_refused_like_any_other(payload: bytes) -> None:
    with pytest.raises(UnreadableJson):
        read_object(payload)


def test_exact_integers_and_surrogate_pairs_are_read() -> None:
    assert read_object(b'{"n":-%d,"a":"\\ud83d\\ude00"}' % MAX_INTEGER) == {"n": -MAX_INTEGER, "a": "😀"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_and_nothing_else(payload: bytes) -> None:
    with contextlib.suppress(UnreadableJson):
        assert isinstance(read_object(payload), dict)


@given(st.dictionaries(st.sampled_from([*EVERYTHING, "type", "template", "environment", "x"]), VALUES, max_size=6))
def test_any_object_is_a_request_or_is_refused_with_pointers(body: dict[str, Any]) -> None:
    try:
        request = NotificationRequest.model_validate(body)
    except ValueError as error:
        for found in field_errors(error):
            parts = found.pointer.split("/")[1:]
            assert not parts or parts[0] in {*EVERYTHING, "type", "template", "environment", "x"}
    else:
        assert NotificationRequest.model_validate_json(request.model_dump_json(exclude_defaults=True)) == request


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), VALUES, max_size=5))
def test_what_json_can_say_is_read_back_as_it_was(body: dict[str, Any]) -> None:
    payload = json.dumps(body).encode()
    try:
        assert read_object(payload) == body
    except UnreadableJson as error:
        assert "half of a surrogate" in str(error)
