"""Looking through quarantine, putting records back where they came from, setting them aside."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from api.quarantine import Refused, Replayed
from infrastructure.kafka.quarantine import read_quarantined
from infrastructure.ports import Received
from schemas import cloudevents, topics
from schemas.catalogue import Catalogue
from schemas.quarantined import SHOWN_BYTES, shown_value
from schemas.templates import Template
from schemas.types import NotificationType
from tests.unit.letters import Office, a_raw
from tests.unit.stories import REQUESTS, as_read, now


async def test_the_newest_are_shown_first_with_why_and_from_where() -> None:
    office = Office()
    await office.puts_away(reason="unreadable", value=b"\xff", origin=f"{REQUESTS}/1/3")
    await office.puts_away(reason="invalid")
    newer, older = await office.entries()
    assert (newer.record.reason, older.record.reason) == ("invalid", "unreadable")
    assert (older.record.origin, older.record.size, older.record.value) == (f"{REQUESTS}/1/3", 1, b"\xff")


async def test_a_reason_and_a_text_narrow_the_list() -> None:
    office = Office()
    await office.puts_away(reason="unknown_type", value=b'{"type":"Order.Shiped"}')
    await office.puts_away(reason="unknown_template", value=b'{"template":"x"}')
    assert len(await office.entries(reason="unknown_")) == 2
    assert [each.record.reason for each in await office.entries(text="order.shiped")] == ["unknown_type"]
    assert await office.entries(reason="unknown_type", text="x@3") == []


async def test_our_own_headers_are_not_to_be_had_by_writing_them_first() -> None:
    office = Office()
    forged = (("X-Dlq-Origin", b"notifications.dev.status/0/1"), ("x-dlq-reason", b"harmless"), ("x-dlq-origin-ms", b"1"))
    await office.route_reads(a_raw({"to": "ana", "nonsense": 1}, *forged))
    record = (await office.entry()).record
    assert (record.origin, record.reason) == (f"{REQUESTS}/0/5", "invalid")
    assert record.origin_ms is not None
    assert record.origin_ms > 1


async def test_a_record_goes_back_with_its_own_bytes_key_and_headers() -> None:
    office = Office()
    await office.puts_away(value=b'{"to":"ana"}', headers=(("ce_id", b"r-9"), (cloudevents.SEAL, b"s"), ("x-own", b"\xff")))
    answer = await office.replay()
    assert isinstance(answer, Replayed)
    [sent] = office.put_back()
    position = str((await office.entry()).record.position).encode()
    assert (sent.key, sent.value) == (b"ana", b'{"to":"ana"}')
    assert sent.headers == {
        "ce_id": b"r-9",
        cloudevents.SEAL: b"s",
        "x-own": b"\xff",
        "x-replayed-from": position,
        "x-replayed-by": b"olga",
    }


async def test_a_raw_record_without_an_id_keeps_the_identity_of_its_first_place() -> None:
    office = Office()
    first = a_raw({"type": "order.shiped", "to": "ana"})
    await office.route_reads(first)
    await office.replay()
    [sent] = office.put_back()
    assert sent.headers["ce_id"] == office.floor.publisher.values_on("notifications.dev.receipts")[0]["request_id"].encode()


async def test_replaying_twice_is_one_notification() -> None:
    office = Office()
    await office.route_reads(a_raw({"type": "late", "to": "ana", "variables": {}}))
    office.floor.catalogue = Catalogue.of(
        [NotificationType(name="late", template="late")], [Template(name="late", title="", body="Late, but here.")]
    )
    await office.replay()
    assert isinstance(await office.replay(), Refused)
    assert isinstance(await office.replay(again=True), Replayed)
    for offset, sent in enumerate(office.put_back()):
        await office.floor.route.handle(as_read(sent, offset=100 + offset))
    assert len(office.floor.notifications.rows) == 1
    assert [receipt["verdict"] for receipt in office.floor.receipts()] == ["rejected", "accepted", "duplicate"]


async def test_who_replayed_it_is_on_record() -> None:
    office = Office()
    await office.puts_away()
    answer = await office.replay()
    assert isinstance(answer, Replayed)
    entry = await office.entry()
    assert entry.mark is not None
    assert (entry.mark.kind, entry.mark.by, entry.mark.to) == ("replayed", "olga", str(answer.to))
    again = await office.replay()
    assert isinstance(again, Refused)
    assert "replayed by olga" in again.why


async def test_a_replay_that_kafka_did_not_take_may_be_repeated() -> None:
    office = Office()
    await office.puts_away()
    office.floor.publisher.fail_next()
    with pytest.raises(Exception, match="away"):
        await office.replay()
    assert isinstance(await office.replay(), Replayed)
    assert len(office.put_back()) == 1


async def test_what_is_refused_again_says_whose_replay_it_is() -> None:
    office = Office()
    await office.route_reads(a_raw({"type": "nowhere", "to": "ana"}))
    entry = await office.entry()
    await office.replay()
    [sent] = office.put_back()
    since = now() - timedelta(minutes=1)
    assert await office.desk.refused_since("dev", since) == {}
    await office.route_reads(as_read(sent, offset=100))
    back = await office.desk.refused_since("dev", since)
    assert {place: found.reason for place, found in back.items()} == {entry.record.position: "unknown_type"}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"reason": "gap", "value": None}, "deleted by retention"),
        ({"origin": "notifications:dev/17-0", "reason": "invalid_request"}, "came over Redis"),
        ({"origin": "notifications.dev.email/0/3", "reason": "not_planned"}, "none of our workers"),
        ({"origin": "notifications.dev.status/0/3", "reason": "not_ours"}, "none of our workers"),
        ({"origin": "notifications.dev.email/0/3", "reason": "crash:KeyError"}, "replay that delivery"),
        ({"origin": "notifications.prod.requests/0/3"}, "none of dev's"),
    ],
)
async def test_what_cannot_be_put_back_says_why(fields: dict[str, Any], why: str) -> None:
    office = Office()
    await office.puts_away(**fields)
    answer = await office.replay(again=True)
    assert isinstance(answer, Refused)
    assert why in answer.why
    assert office.floor.publisher.records == []
    assert office.marks.marks == {}


async def test_a_discarded_record_is_marked_and_not_replayed_by_mistake() -> None:
    office = Office()
    await office.puts_away()
    for _ in range(2):
        assert await office.desk.discard("dev", await office.entry(), "ben") is None
    entry = await office.entry()
    assert entry.mark is not None
    assert (entry.mark.kind, entry.mark.by) == ("discarded", "ben")
    refused = await office.replay()
    assert isinstance(refused, Refused)
    assert "discarded by ben" in refused.why
    assert isinstance(await office.replay(again=True), Replayed)


async def test_what_was_replayed_is_not_discarded() -> None:
    office = Office()
    await office.puts_away()
    await office.replay()
    refused = await office.desk.discard("dev", await office.entry(), "ben")
    assert refused is not None
    assert "replayed by olga" in refused.why


def test_a_value_is_shown_as_text_or_as_base64_and_never_without_bound() -> None:
    assert shown_value("é".encode()) == {"text": "é", "base64": None, "truncated": False}
    assert shown_value(b"\xff") == {"text": None, "base64": base64.b64encode(b"\xff").decode(), "truncated": False}
    assert shown_value(None) == {"text": None, "base64": None, "truncated": False}
    shown = shown_value(("a" + "é" * SHOWN_BYTES).encode())
    assert shown["truncated"]
    assert isinstance(shown["text"], str)
    assert len(shown["text"].encode()) <= SHOWN_BYTES


def test_a_record_nobody_of_us_put_there_is_read_all_the_same() -> None:
    found = read_quarantined(Received(topics.quarantine("dev"), 0, 1, 1000, None, b"x", ()))
    assert (found.reason, found.origin_position, found.errors) == ("", None, ())
