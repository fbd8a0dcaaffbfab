"""Prometheus metrics: a closed set of names, no ids in labels. The first four keep the gateway's names (seed 001)."""

from prometheus_client import Counter, Gauge, Histogram

API_REQUESTS = Counter("api_requests", "Requests answered by the API", ["method", "route", "status"])
API_REQUEST_DURATION = Histogram(
    "api_request_duration_seconds",
    "Time from request to answer",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
PUBLISHED_MESSAGES = Counter("published_messages", "Requests acknowledged by Kafka", ["entrance", "environment"])
IDEMPOTENCY_HITS = Counter("idempotency_hits", "Requests that were known already", ["entrance"])
DELIVERIES = Counter("carillon_deliveries", "Deliveries settled or rescheduled", ["channel", "state"])
PROVIDER_CALLS = Counter("carillon_provider_calls", "Calls of a provider by what came of them", ["provider", "outcome"])
PROVIDER_OUT = Gauge("carillon_provider_out", "1 while a provider is left alone after failures in a row", ["provider"])
ADDRESSES_GONE = Counter(
    "carillon_addresses_gone", "Devices dropped and e-mail addresses marked bounced on a provider's word", ["channel"]
)
LATE_RESULTS = Counter(
    "carillon_late_results", "Outcomes that came after their claim was lost; kept in the history", ["channel"]
)
MOVED_BACK = Counter(
    "carillon_moved_back",
    "Notifications planned at a lower priority because their producer is over its quota",
    ["environment", "to"],
)
PREFERENCE_CHANGES = Counter("carillon_preference_changes", "Changes of preferences by their verdict", ["result"])
ERASURES = Counter("carillon_erasures", "People erased, and erasures gone through once more", ["step"])
DIGEST_EVENTS = Counter("carillon_digest_events", "Events that joined a digest, in time or late", ["when"])
DIGESTS_CLOSED = Counter("carillon_digests_closed", "Windows closed, sent or empty", ["result"])
GAPS = Counter("carillon_lost_records", "Records deleted by retention before their group could read them", ["group"])
STORE_CALLS = Counter("carillon_store_calls", "Calls to DynamoDB", ["action"])
STORE_ITEMS = Counter("carillon_store_items", "Items read from and written to DynamoDB in batches", ["action"])
BRIDGE_ENTRIES = Counter("bridge_entries", "Entries of Redis settled in Kafka", ["environment", "source", "result"])
BRIDGE_LOST = Counter(
    "bridge_lost_before_read",
    "Entries that were trimmed or deleted before the bridge could copy them: lost notifications",
    ["environment", "stream"],
)
LEGACY_CALLS = Counter("legacy_calls", "Calls with an older service's signature or token", ["version"])
CONSUMER_LAG = Gauge("carillon_consumer_lag", "Records a group has still to read", ["group"])
CONSUMER_LAG_SECONDS = Gauge("carillon_consumer_lag_seconds", "Age of the oldest record not yet committed", ["group"])
WORKER_IN_FLIGHT = Gauge("carillon_worker_in_flight", "Records being worked on", ["group"])
WORKER_OLDEST = Gauge("carillon_worker_oldest_in_flight_seconds", "Age of the oldest record being worked on", ["group"])
WORKER_HELD = Gauge(
    "carillon_worker_held", "Records that wait for another try, most often because our floor is out", ["group"]
)
WORKER_PAUSED = Gauge("carillon_worker_paused", "1 while partitions of this priority are paused", ["group", "priority"])
CLIENTS_REPLACED = Counter("carillon_clients_replaced", "Kafka clients that failed or fell silent", ["group"])
STOPPED_BURYING = Counter("carillon_stopped_burying", "Workers that stopped because everything was buried", ["group"])
LIVE_CONNECTIONS = Gauge("carillon_live_connections", "Open live connections", ["kind"])
