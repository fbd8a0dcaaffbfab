"""Every worker by its name, and how it is wired: members of consumer groups, the bridge, the schedule."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from consumers.arrivals import Arrivals
from consumers.cancelling import Canceller
from consumers.dispatch import Dispatcher
from consumers.handlers.bridge import Bridge
from consumers.handlers.deliver import Deliver
from consumers.handlers.deliver_external import DeliverExternal
from consumers.handlers.deliver_in_app import DeliverInApp
from consumers.handlers.expand import Expand
from consumers.handlers.persist import Persist
from consumers.handlers.route import Route
from consumers.leases import Leases
from consumers.lines import Lines
from consumers.planning import Planner
from consumers.reporting import Reporter
from consumers.schedule import Schedule
from consumers.sealed import Sealed
from infrastructure.channels import open_channels
from infrastructure.kafka.backlog import LagBacklog
from infrastructure.kafka.connection import connection
from infrastructure.kafka.consumer import GroupConsumer
from infrastructure.kafka.lag import open_lag_reader
from infrastructure.kafka.sealing import SealingPublisher
from infrastructure.ports import Channel, Handler
from infrastructure.resources import Resources, seal_keys
from schemas import topics
from schemas.requests import CHANNELS
from schemas.retries import RetrySchedule
from schemas.topics import Environment


class Worker(Protocol):
    async def run(self) -> None:
        """Works until `stop`, then ends cleanly."""

    def stop(self) -> None: ...

    @property
    def alive(self) -> bool:
        """Made of progress, not of reachability: a broker that is away does not make a worker look dead."""


@dataclass(frozen=True)
class Named:
    """A worker with the name operators know it by."""

    name: str
    worker: Worker


NAMES = ("route", "expand", *(f"deliver.{channel}" for channel in CHANNELS), "persist", "schedule", "bridge")


def workers_of(name: str, resources: Resources) -> list[Named]:
    """The workers a process runs for `name` (or `all`), one set per environment served."""
    resources = replace(resources, publisher=SealingPublisher(resources.publisher, seal_keys(resources.settings)[0]))
    names = NAMES if name == "all" else (name,)
    channels = open_channels(resources.settings, resources.http)
    return [
        Named(topics.group(environment, each), _worker(each, environment, resources, channels))
        for environment in resources.settings.environments
        for each in names
    ]


def _worker(name: str, environment: Environment, resources: Resources, channels: dict[str, Channel]) -> Worker:
    if name == "schedule":
        return Schedule(environment, resources.stores.timers, resources.publisher)
    if name == "bridge":
        return _bridge(environment, resources)
    handler = _handler(name, resources, channels)
    if name != "route":  # route reads what the world writes, the others only what our own workers wrote
        handler = Sealed(handler, seal_keys(resources.settings), resources.publisher)
    group = topics.group(environment, name)
    return GroupConsumer(resources.settings, group, topics.subscription(environment, name), handler)


def _bridge(environment: Environment, resources: Resources) -> Bridge:
    settings = resources.settings
    return Bridge(
        resources.redis,
        resources.entrance,
        resources.publisher,
        environment=environment,
        producer=settings.bridge_producer,
        low_stock=settings.low_stock_source if environment == settings.default_environment else None,
        idle_takeover_s=settings.bridge_idle_takeover_s,
    )


def _handler(name: str, resources: Resources, channels: dict[str, Channel]) -> Handler:
    stores, reporter = resources.stores, Reporter(resources.publisher, name)
    if name == "route":
        arrivals = Arrivals(seal_keys(resources.settings), resources.settings.raw_producers)
        planner = Planner(resources.catalogue, stores.contacts, stores.caps, resources.settings.delivery_policy)
        canceller = Canceller(stores.notifications, stores.deliveries, stores.inbox, resources.announcer, reporter)
        return Route(arrivals, stores.notifications, planner, canceller, stores.timers, resources.publisher, reporter)
    if name == "expand":
        return _expand(resources, reporter)
    if name == "persist":
        return Persist(stores.deliveries, resources.announcer, resources.publisher)
    return _deliver(name.removeprefix("deliver."), resources, reporter, channels)


def _expand(resources: Resources, reporter: Reporter) -> Expand:
    settings, stores = resources.settings, resources.stores
    parameters = connection(settings)
    return Expand(
        stores.notifications,
        stores.expansions,
        stores.contacts,
        stores.deliveries,
        stores.timers,
        Planner(resources.catalogue, stores.contacts, stores.caps, settings.delivery_policy),
        Canceller(stores.notifications, stores.deliveries, stores.inbox, resources.announcer, reporter),
        resources.publisher,
        reporter,
        LagBacklog(lambda: open_lag_reader(parameters)),
        timedelta(seconds=settings.delivery_deadline_s),
        settings.bulk_backlog_max_s,
    )


def _deliver(channel: str, resources: Resources, reporter: Reporter, channels: dict[str, Channel]) -> Deliver:
    settings, stores = resources.settings, resources.stores
    longest = timedelta(seconds=settings.delivery_deadline_s)
    if channel == "in_app":
        return DeliverInApp(
            stores.notifications,
            resources.catalogue,
            resources.publisher,
            reporter,
            longest,
            Lines(stores.contacts),
            stores.inbox,
            resources.announcer,
        )
    waits = tuple(timedelta(seconds=wait) for wait in settings.retry_schedule_s)
    return DeliverExternal(
        stores.notifications,
        resources.catalogue,
        resources.publisher,
        reporter,
        longest,
        Lines(stores.contacts),
        Dispatcher(channels[channel], settings.provider_timeout_s),
        stores.deliveries,
        stores.timers,
        RetrySchedule(waits, timedelta(seconds=settings.retry_after_max_s)),
        Leases(settings.delivery_lease),
    )
