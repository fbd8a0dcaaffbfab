"""The one registry: what is produced to and read from is what is created."""

import re

import pytest

from schemas import topics
from schemas.requests import CHANNELS
from schemas.topics import ENVIRONMENTS, PRIORITIES, Environment

WORKERS = ("route", "expand", "persist", "preferences", "digest", "erase", *(f"deliver.{channel}" for channel in CHANNELS))


def test_the_names_are_those_of_the_design() -> None:
    assert {topic.name for topic in topics.registry("dev", ("in_app",))} == {
        "notifications.dev.requests",
        "notifications.dev.requests.urgent",
        "notifications.dev.requests.bulk",
        "notifications.dev.expand",
        "notifications.dev.in-app",
        "notifications.dev.in-app.urgent",
        "notifications.dev.in-app.bulk",
        "notifications.dev.status",
        "notifications.dev.preferences",
        "notifications.dev.digests",
        "notifications.dev.erasures",
        "notifications.dev.receipts",
        "notifications.dev.quarantine",
        "notifications.dev.dlq",
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_whatever_a_worker_reads_exists(environment: Environment) -> None:
    created = {topic.name for topic in topics.registry(environment, CHANNELS)}
    for worker in WORKERS:
        assert set(topics.subscription(environment, worker)) <= created


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_name_says_its_environment_and_is_legal_in_kafka_and_its_metrics(environment: Environment) -> None:
    names = [topic.name for topic in topics.registry(environment, CHANNELS)]
    assert len(set(names)) == len(names)
    for name in names:
        assert topics.environment_of(name) == environment
        assert re.fullmatch(r"[a-z0-9.-]{1,249}", name), "no underscore: metrics take it for a dot"


@pytest.mark.parametrize("priority", PRIORITIES)
def test_what_route_hands_out_is_read_by_the_channels_group(priority: topics.Priority) -> None:
    assert topics.deliveries("dev", "in_app", priority) in topics.subscription("dev", "deliver.in_app")


def test_every_priority_has_a_way_of_its_own_from_the_door_on() -> None:
    ways = {topics.requests("dev", priority) for priority in PRIORITIES}
    assert len(ways) == 3
    assert ways == set(topics.subscription("dev", "route"))


def test_a_refused_record_fits_into_quarantine_with_its_reason() -> None:
    sizes = {topic.name: topic.max_message_bytes for topic in topics.registry("dev", CHANNELS)}
    assert sizes[topics.quarantine("dev")] >= 2 * max(size for name, size in sizes.items() if "quarantine" not in name)
