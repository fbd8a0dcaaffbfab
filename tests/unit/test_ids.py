"""The recipes are frozen: these values were computed once, and a change of any of them would double notifications."""

import base64
import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from schemas import ids

NOTIFICATION = "ntf_dfgft7wrrzz3bxsxqjesdm2uia"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def by_the_book(*parts: str) -> str:
    """The recipe of the design, said a second time: base32 of the first 16 bytes of SHA-256 over `["v1", ...]`."""
    compact = json.dumps(["v1", *parts], separators=(",", ":"), ensure_ascii=False).encode()
    return base64.b32encode(hashlib.sha256(compact).digest()[:16]).decode().rstrip("=").lower()


def test_a_notification_id_never_changes() -> None:
    assert ids.notification_id("dev", "kafka", "order-42-shipped") == NOTIFICATION
    assert ids.notification_id("prod", "user:änä", 'späße " 😀') == "ntf_rurpgpl7tbyanfeg3bjqeogjza"


def test_a_delivery_id_never_changes() -> None:
    assert ids.delivery_id(NOTIFICATION, "ana", "in_app", "") == "dlv_fxobmrjw4yejddzdof42aks5au"
    assert ids.delivery_id(NOTIFICATION, "ana", "email", "primary") == "dlv_hhgfrch3xt2ngt6uymxpoa6chi"


def test_the_ids_of_records_and_entries_without_their_own_never_change() -> None:
    record = ids.record_request_id("notifications.dev.requests", 2, 41, 1_800_000_000_000, b'{"to":"ana","message":"Hi"}')
    assert record == "rec-b648ac6b215376de62199f6d147b99f8577f6e9c9b071c6ffc5bb06ef638fdf0"
    entry = ids.entry_request_id("notifications:dev", "1700000000000-0")
    assert entry == "xid-495fb83af5847dfe30294fa5ee9a0aace6130d8713f67bda87cba6c1dca7b459"


def test_an_address_given_twice_is_one_endpoint_and_is_not_readable_in_it() -> None:
    assert ids.endpoint_of(" Carl@X.io ") == ids.endpoint_of("carl@x.io") == "919225782fa9053b3686109cd3077f14"


@given(TEXTS, TEXTS, TEXTS)
def test_every_id_follows_the_written_recipe(environment: str, producer: str, request_id: str) -> None:
    assert ids.notification_id(environment, producer, request_id) == "ntf_" + by_the_book(environment, producer, request_id)


@given(TEXTS, TEXTS, TEXTS)
def test_moving_a_boundary_between_two_parts_makes_another_id(left: str, middle: str, right: str) -> None:
    if middle:
        assert ids.notification_id("dev", left + middle, right) != ids.notification_id("dev", left, middle + right)


def test_new_request_ids_sort_in_the_order_they_were_made() -> None:
    made = [ids.new_request_id() for _ in range(200)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
