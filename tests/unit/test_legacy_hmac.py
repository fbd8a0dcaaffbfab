"""The table of tricks against the older service's signature (CWE-208, CWE-347)."""

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest

from infrastructure.auth.legacy import LegacyCaller, LegacyKeys, Refused, SignedCall, derived_request_id

NOW = 1_800_000_000.0
TOKEN = "your-secret-token"
KEYS = LegacyKeys((TOKEN, "the-token-before"), server_key=b"s" * 32, window_s=300)


def v1(timestamp: str, token: str = TOKEN) -> str:
    return hmac.new(token.encode(), timestamp.encode(), hashlib.sha256).hexdigest()


def a_call(timestamp: str = "1800000000", token: str = TOKEN, **changes: Any) -> SignedCall:
    call = SignedCall("POST", b"/publish/test?message=hi", b"", (token,), (timestamp,), (v1(timestamp, token),))
    return replace(call, **changes)


def v2(call: SignedCall, message_id: str, token: str = TOKEN) -> SignedCall:
    signed = f"{call.method}\n{call.target.decode()}\n{message_id}.{call.timestamps[0]}.".encode() + call.body
    mac = hmac.new(token.encode(), signed, hashlib.sha256).hexdigest()
    return replace(call, signatures=(f"v2,{mac}",), message_ids=(message_id,))


def verify(call: SignedCall) -> LegacyCaller:
    return KEYS.verify(call, now=NOW)


@pytest.mark.parametrize("timestamp", ["1800000000", "1799999700", "1800000300"])
def test_the_old_client_is_let_in_inside_the_window(timestamp: str) -> None:
    caller = verify(a_call(timestamp))
    assert caller.version == 1
    assert TOKEN not in caller.token


def test_a_token_that_is_being_replaced_still_opens_the_door() -> None:
    assert verify(a_call(token="the-token-before")).token != verify(a_call()).token


@pytest.mark.parametrize(
    "timestamp",
    [
        "1799999699",
        "1800000301",
        "0",
        "",
        " 1800000000",
        "1800000000 ",
        "+1800000000",
        "-1800000000",
        "01800000000",
        "1800000000.0",
        "1.8e9",
        "1e9",
        "1_800_000_000",
        "0x6b49d200",
        "1800000000000",
        "1800000000000000000",
        "１８００００００００",
        "١٨٠٠٠٠٠٠٠٠",
        "1800000000\n",
        "1800000000\x00",
        "nan",
        "inf",
        "9" * 5000,
    ],
)
def test_a_timestamp_is_ten_digits_inside_the_window_even_if_it_is_signed(timestamp: str) -> None:
    with pytest.raises(Refused):
        verify(a_call(timestamp))


GOOD = v1("1800000000")


@pytest.mark.parametrize(
    "signature",
    [
        "",
        GOOD[:-1],
        GOOD[:32],
        GOOD + "0",
        GOOD.upper(),
        " " + GOOD,
        GOOD + "\n",
        "sha256=" + GOOD,
        "v1," + GOOD,
        "v2," + GOOD,
        "g" * 64,
        "０" * 64,
        "0" * 64,
        hashlib.sha256(b"1800000000").hexdigest(),
        v1("1800000000", "another-token"),
        v1("1800000001"),
    ],
)
def test_a_signature_is_the_whole_mac_in_lower_case_hex(signature: str) -> None:
    with pytest.raises(Refused):
        verify(a_call(signatures=(signature,)))


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": ()},
        {"tokens": ("",)},
        {"tokens": (TOKEN, TOKEN)},
        {"timestamps": ()},
        {"timestamps": ("1800000000", "1800000000")},
        {"signatures": ()},
        {"signatures": (GOOD, GOOD)},
    ],
)
def test_each_header_comes_exactly_once(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        verify(a_call(**changes))


@pytest.mark.parametrize("token", ["guess", "your-secret-toke", "YOUR-SECRET-TOKEN", "your-secret-token ", "\xff"])
def test_an_unknown_token_hears_what_a_wrong_signature_hears(token: str) -> None:
    with pytest.raises(Refused) as unknown:
        verify(a_call(token=token))
    with pytest.raises(Refused) as forged:
        verify(a_call(signatures=("0" * 64,)))
    assert str(unknown.value) == str(forged.value)


def test_one_token_cannot_sign_for_the_other() -> None:
    with pytest.raises(Refused):
        verify(a_call(signatures=(v1("1800000000", "the-token-before"),)))


def test_without_a_token_the_door_is_closed() -> None:
    closed = LegacyKeys(("", ""), server_key=b"", window_s=300)
    assert not closed.is_open
    with pytest.raises(Refused):
        closed.verify(a_call(token=""), now=NOW)


def test_v2_lets_in_what_it_signs() -> None:
    caller = verify(v2(a_call(body=b'{"a": 1}'), "msg_1"))
    assert (caller.version, caller.message_id) == (2, "msg_1")
    assert derived_request_id(caller) == "msg_1"


@pytest.mark.parametrize(
    "swap",
    [
        {"body": b"other"},
        {"target": b"/publish/prod?message=hi"},
        {"target": b"/publish/test?message=other"},
        {"method": "DELETE"},
        {"message_ids": ("msg_2",)},
        {"timestamps": ("1800000001",)},
    ],
)
def test_v2_refuses_whatever_was_swapped_after_signing(swap: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        verify(replace(v2(a_call(), "msg_1"), **swap))


@pytest.mark.parametrize("message_id", ["a.b", "", "a b", "a\nb", "é", "x" * 201])
def test_an_id_cannot_shift_the_parts_of_the_signed_text(message_id: str) -> None:
    with pytest.raises(Refused):
        verify(v2(a_call(), message_id))


def test_v2_needs_one_id() -> None:
    signed = v2(a_call(), "msg_1")
    assert verify(replace(signed, message_ids=("msg_1", "msg_1"))).message_id == "msg_1"
    for ids in ((), ("msg_1", "msg_2")):
        with pytest.raises(Refused):
            verify(replace(signed, message_ids=ids))


def test_the_same_request_again_has_the_same_derived_id_and_any_other_has_another() -> None:
    first = derived_request_id(verify(a_call()))
    assert derived_request_id(verify(a_call())) == first
    others = [
        a_call("1800000001"),
        a_call(token="the-token-before"),
        a_call(method="DELETE"),
        a_call(target=b"/publish/dev?message=hi"),
        a_call(target=b"/publish/test?message=other"),
        a_call(body=b"x"),
    ]
    assert len({first, *(derived_request_id(verify(call)) for call in others)}) == len(others) + 1


def test_v1_does_not_believe_an_id_it_did_not_sign() -> None:
    call = a_call(message_ids=("msg_1",))
    assert derived_request_id(verify(call)) == derived_request_id(verify(a_call()))
