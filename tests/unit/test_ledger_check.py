"""The check must be able to fail: each fault is planted by hand, and it is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.ids import delivery_id, endpoint_of, notification_id
from tests.faults.ledger_check import (
    Call,
    Commit,
    Dump,
    Expected,
    ProducerLedger,
    Row,
    check,
    derived_endpoint,
    derived_id,
    read_calls,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MAIL = Expected("dlv_mail", "ntf_1", "ana@example.com")
ITEM = Expected("dlv_item", "ntf_1")
SEEN = Call("dlv_mail", "ana@example.com", NOW - timedelta(seconds=1))


def a_row(delivery: str, state: str) -> Row:
    """As the table of deliveries holds it."""
    return {
        "shard_key": "ntf_1#0",
        "delivery_id": delivery,
        "state": state,
        "version": 2,
        "updated_at": NOW.isoformat().replace("+00:00", "Z"),
    }


GOOD = Dump(
    deliveries=(a_row("dlv_mail", "SENT"), a_row("dlv_item", "SENT")),
    inbox=({"person": "ana", "delivery_id": "dlv_item"},),
    notifications=({"notification_id": "ntf_1"},),
)


@pytest.fixture
def producers(tmp_path: Path) -> Path:
    """One acknowledged request for a mail and an inbox item."""
    ledger = ProducerLedger(tmp_path / "producer.jsonl")
    ledger.sending("ntf_1", [MAIL, ITEM])
    ledger.acknowledged("ntf_1")
    return ledger.path


def states(mail: str, item: str = "SENT") -> Dump:
    return replace(GOOD, deliveries=(a_row("dlv_mail", mail), a_row("dlv_item", item)))


def test_three_lists_that_agree_have_nothing_wrong(producers: Path) -> None:
    report = check(producers, [SEEN], GOOD)
    assert (report.wrongs, report.duplicates, report.late, report.unknown) == ({}, (), (), ())
    assert report.acknowledged == 1


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        (GOOD, {"lost": ("dlv_mail",), "contradictions": ("dlv_mail SENT, but it never arrived",)}),
        (replace(GOOD, deliveries=GOOD.deliveries[1:]), {"lost": ("dlv_mail",), "unfinished": ("dlv_mail",)}),
        (states("FAILED"), {}),
        (states("RETRY"), {"unfinished": ("dlv_mail",)}),
    ],
)
def test_a_mail_that_never_came_is_lost_unless_the_store_says_so(
    producers: Path, planted: Dump, named: dict[str, tuple[str, ...]]
) -> None:
    assert check(producers, [], planted).wrongs == named


def test_an_inbox_item_that_is_gone_is_lost(producers: Path) -> None:
    report = check(producers, [SEEN], replace(GOOD, inbox=()))
    assert report.lost == ("dlv_item",)


def test_a_repeat_is_counted_and_the_worst_delivery_is_known(producers: Path) -> None:
    report = check(producers, [SEEN, SEEN, SEEN], replace(GOOD, inbox=GOOD.inbox * 2))
    assert (sorted(report.duplicates), report.most_per_delivery) == (["dlv_item", "dlv_mail", "dlv_mail"], 2)
    assert report.wrongs == {}, "how many are permitted is the caller's business"


def test_a_repeat_after_the_end_was_known_is_late(producers: Path) -> None:
    after = replace(SEEN, at=NOW + timedelta(seconds=1))
    assert check(producers, [SEEN, after], GOOD).late == ("dlv_mail",)
    assert check(producers, [SEEN, SEEN], GOOD).late == ()


def test_what_was_meant_for_another_is_foreign(producers: Path) -> None:
    assert check(producers, [replace(SEEN, address="ben@example.com")], GOOD).foreign == ("dlv_mail",)


@pytest.mark.parametrize(
    "planted",
    [
        (Call("dlv_nobodys", "ana@example.com", NOW), GOOD),
        (SEEN, replace(GOOD, inbox=(*GOOD.inbox, {"person": "ana", "delivery_id": "dlv_nobodys"}))),
        (SEEN, replace(GOOD, deliveries=(*GOOD.deliveries, a_row("dlv_nobodys", "SKIPPED")))),
        (SEEN, replace(GOOD, notifications=(*GOOD.notifications, {"notification_id": "dlv_nobodys"}))),
    ],
)
def test_what_no_producer_asked_for_is_a_ghost_wherever_it_shows(producers: Path, planted: tuple[Call, Dump]) -> None:
    call, dump = planted
    assert check(producers, [SEEN, call], dump).ghosts == ("dlv_nobodys",)


@pytest.mark.parametrize(("state", "wrong"), [("SENT", 0), ("FAILED", 1), ("EXPIRED", 1), ("CANCELLED", 1), ("UNKNOWN", 0)])
def test_a_store_that_denies_what_arrived_contradicts_it(producers: Path, state: str, wrong: int) -> None:
    report = check(producers, [SEEN], states(state))
    assert len(report.contradictions) == wrong
    assert report.unknown == (("dlv_mail",) if state == "UNKNOWN" else ())


@pytest.mark.parametrize("state", ["PENDING", "IN_FLIGHT", "RETRY"])
def test_what_has_not_ended_is_unfinished(producers: Path, state: str) -> None:
    assert check(producers, [SEEN], states(state)).unfinished == ("dlv_mail",)


def test_a_request_without_an_acknowledgement_may_have_happened_or_not(tmp_path: Path) -> None:
    ledger = ProducerLedger(tmp_path / "producer.jsonl")
    ledger.sending("ntf_1", [MAIL, ITEM])
    assert check(ledger.path, [], Dump()).wrongs == {}
    assert check(ledger.path, [SEEN], GOOD).wrongs == {}


def test_a_commit_beyond_what_is_settled_is_seen(producers: Path) -> None:
    commits = [Commit("requests/0", committed=8, settled=7), Commit("requests/1", committed=7, settled=7)]
    assert check(producers, [SEEN], GOOD, commits).committed_too_far == ("requests/0",)


def test_of_a_providers_ledger_only_the_runs_accepted_calls_count(tmp_path: Path) -> None:
    ledger = tmp_path / "provider.jsonl"
    line = {"provider": "email", "delivery": "dlv_mail", "accepted": True, "received_at": "2026-11-26T11:59:59Z"}
    lines = [
        {**line, "request": {"to": ["ana@run-7.example.com"]}},
        {**line, "request": {"to": ["ana@run-7.example.com"]}, "accepted": False},
        {**line, "request": {"to": ["ana@run-8.example.com"]}},
        {**line, "request": {"path": "/slack/services/1", "message": {"text": "run-7"}}},
    ]
    ledger.write_text("".join(json.dumps(each) + "\n" for each in lines))
    calls = read_calls(ledger, "run-7")
    assert [(call.address, call.at) for call in calls] == [
        ("ana@run-7.example.com", SEEN.at),
        ("/slack/services/1", SEEN.at),
    ]


@pytest.mark.parametrize(
    ("prefix", "recipe", "parts"),
    [
        ("ntf_", notification_id, ("dev", "ké", "order-42")),
        ("dlv_", delivery_id, ("ntf_1", "ana", "email", "primary")),
    ],
)
def test_the_recipe_written_down_here_is_the_products(
    prefix: str, recipe: Callable[..., str], parts: tuple[str, ...]
) -> None:
    assert derived_id(prefix, *parts) == recipe(*parts)
    assert derived_endpoint(" Ana@Example.com") == endpoint_of(" Ana@Example.com")
