"""The metrics are a closed set: dashboards and alerts rest on these names."""

import re
from pathlib import Path

from prometheus_client import REGISTRY

import infrastructure.metrics  # noqa: F401 - registers them

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
NAMES = {
    "carillon_addresses_gone_total",
    "api_requests_total",
    "api_request_duration_seconds",
    "published_messages_total",
    "idempotency_hits_total",
    "legacy_calls_total",
    "carillon_deliveries_total",
    "carillon_late_results_total",
    "carillon_moved_back_total",
    "carillon_preference_changes_total",
    "carillon_erasures_total",
    "carillon_digest_events_total",
    "carillon_digests_closed_total",
    "carillon_provider_calls_total",
    "carillon_provider_out",
    "carillon_lost_records_total",
    "carillon_store_calls_total",
    "carillon_store_items_total",
    "bridge_entries_total",
    "bridge_lost_before_read_total",
    "carillon_consumer_lag",
    "carillon_consumer_lag_seconds",
    "carillon_worker_in_flight",
    "carillon_worker_oldest_in_flight_seconds",
    "carillon_worker_held",
    "carillon_worker_paused",
    "carillon_clients_replaced_total",
    "carillon_stopped_burying_total",
    "carillon_live_connections",
}
# what the client library brings along
THEIRS = re.compile(r"^(python|process)_")


def exported() -> set[str]:
    metrics = (metric for metric in REGISTRY.collect() if not THEIRS.match(metric.name))
    return {metric.name + ("_total" if metric.type == "counter" else "") for metric in metrics}


def test_the_exported_names_are_these_and_no_others() -> None:
    assert exported() == NAMES


def test_operators_find_every_name_explained() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert [name for name in sorted(NAMES) if f"`{name}" not in text] == []


def test_no_label_holds_an_id_of_a_person_or_a_notification() -> None:
    labels = {label for metric in REGISTRY.collect() for sample in metric.samples for label in sample.labels}
    assert not labels & {"recipient", "person", "user", "notification", "notification_id", "delivery", "request_id"}
