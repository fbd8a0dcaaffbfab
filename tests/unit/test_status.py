"""What a sender is told of an audience: counted in the ledger, and final only when nothing is left to walk or to try."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from api.audiences import Reached
from api.status import status_of
from schemas.audiences import Audience, Progress
from schemas.plan import Notification, Plan, PlannedDelivery
from schemas.requests import NotificationRequest

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
ANA = PlannedDelivery(delivery_id="dlv_ana", recipient="ana", channel="in_app")
NEWS = Audience(topics=("news",), cutoff=NOON, shards=2, channels=("in_app",))
NOTIFICATION = Notification(
    notification_id="ntf_1",
    environment="dev",
    producer="kafka",
    request_id="r-1",
    body_hash="h",
    origin="t/0/1",
    accepted_at=NOON,
    planned_at=NOON,
    request=NotificationRequest.model_validate({"to": ["ana", {"topic": "news"}], "message": "Hi"}),
    plan=Plan(lines=(ANA,), type="plain@1", category="general", template=None, priority="normal", audience=NEWS, shards=16),
)


def a_walk(shard: int, planned: int, skipped: int = 0, **fields: object) -> Progress:
    known = {"environment": "dev", "notification_id": "ntf_1", "shard": shard, "updated_at": NOON}
    return Progress.model_validate(known | {"members": planned, "planned": planned, "skipped": skipped} | fields)


def told(*walks: Progress, cancelled: bool = False, **in_ledger: int) -> dict[str, Any]:
    notification = NOTIFICATION.model_copy(update={"cancelled_at": NOON if cancelled else None})
    return status_of(notification, (), (ANA,), Reached(NEWS, walks, Counter(in_ledger), NOON, notification))


def test_what_was_handed_out_and_has_no_row_yet_is_pending() -> None:
    found = told(a_walk(0, 5, 1, done=True), a_walk(1, 4), SENT=6, SKIPPED=1)
    assert found["counts"] == {"SENT": 6, "SKIPPED": 1, "PENDING": 4}
    assert found["status"] == "DELIVERING"
    audience = found["audience"]
    assert (audience["members"], audience["planned"], audience["skipped"]) == (9, 9, 1)
    assert (audience["expanded"], audience["of_shards"], audience["done"]) == (1, 2, False)


def test_it_is_settled_when_all_is_walked_and_every_delivery_has_ended() -> None:
    walks = a_walk(0, 5, done=True), a_walk(1, 4, done=True)
    assert told(*walks, SENT=10)["status"] == "SETTLED"
    assert told(*walks, SENT=9, RETRY=1)["status"] == "DELIVERING"
    assert told(*walks, SENT=9)["counts"] == {"SENT": 9, "PENDING": 1}


def test_a_page_whose_walker_died_has_rows_that_no_walk_has_counted() -> None:
    assert told(a_walk(0, 0), a_walk(1, 0, done=True), SENT=7)["counts"] == {"SENT": 7}


@pytest.mark.parametrize(("taken_back", "status"), [(False, "DELIVERING"), (True, "SETTLED")])
def test_a_cancelled_one_is_settled_when_it_has_been_taken_back(taken_back: bool, status: str) -> None:
    walks = [a_walk(shard, 2, done=True, stopped="cancelled", taken_back=taken_back) for shard in (0, 1)]
    found = told(*walks, cancelled=True, SENT=1, CANCELLED=4)
    assert (found["status"], found["audience"]["stopped"]) == (status, "cancelled")
