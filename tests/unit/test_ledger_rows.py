"""A row of the ledger on its way to the store."""

from datetime import UTC, datetime

from infrastructure.dynamo.ledger import item_of, read_row
from infrastructure.dynamo.tables import EXPIRES
from schemas.deliveries import DeliveryRecord, row_of

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
RECORD = DeliveryRecord(environment="dev", notification_id="ntf_1", delivery_id="dlv_1", recipient="ana", channel="email")


def test_a_row_is_kept_until_well_after_its_time_and_no_time_is_too_far_away() -> None:
    soon = row_of(RECORD, NOON, state="RETRY", reason="scheduled", next_at=datetime(2027, 12, 1, tzinfo=UTC))
    assert item_of(soon)[EXPIRES] > datetime(2028, 1, 1, tzinfo=UTC).timestamp()
    last = row_of(RECORD, NOON, state="RETRY", reason="scheduled", next_at=datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
    assert item_of(last)[EXPIRES] > datetime(9999, 12, 1, tzinfo=UTC).timestamp()
    assert read_row(item_of(last)) == last
