"""Every worker by its name, and how it is wired: members of consumer groups, the bridge, the schedule."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from consumers.arrivals import Arrivals
from consumers.cancelling import Canceller
from consumers.collapsing import Collapsing
from consumers.dispatch import Dispatcher
from consumers.erasing import erase_of
from consumers.following import Following
from consumers.gathering import Gathering
from consumers.handing_out import HandingOut
from consumers.handlers.bridge import Bridge
from consumers.handlers.content import Wording
from consumers.handlers.deliver import Deliver
from consumers.handlers.deliver_external import DeliverExternal
from consumers.handlers.deliver_in_app import DeliverInApp
from consumers.handlers.digest import CloseDigests
from consumers.handlers.expand import Expand
from consumers.handlers.persist import Persist
from consumers.handlers.preferences import ApplyPreferences
from consumers.handlers.route import Route
from consumers.holding import Holding
from consumers.leases import Leases
from consumers.lines import Lines
from consumers.planning import Planner
from consumers.provider_line import Limits
from consumers.provider_news import ProviderNews
from consumers.quotas import QuotaRules, Quotas
from consumers.reachability import Reachability
from consumers.retracing import Retracing
from consumers.schedule import Schedule
from consumers.schedules import Schedules
from consumers.sealed import Sealed
from consumers.setting_aside import SettingAside
from consumers.taking_out import TakingOut
from consumers.waiting import capping_of, choices_of, clocks_of, marks_of, rescheduler_of, waits_of
from consumers.waking import Waking
from infrastructure.channels import Providers, open_providers
from infrastructure.kafka.backlog import LagBacklog
from infrastructure.kafka.connection import connection
from infrastructure.kafka.consuming.consumer import GroupConsumer
from infrastructure.kafka.lag import open_lag_reader
from infrastructure.kafka.quarantine import QuarantinedGaps
from infrastructure.kafka.reporting import Reporter
from infrastructure.kafka.sealing import SealingPublisher
from infrastructure.ports import Handler, Provider
from infrastructure.redis.provider_board import ProviderBoard
from infrastructure.redis.rate_limit import RateLimiter
from infrastructure.resources import Resources, seal_keys
from infrastructure.settings import Settings
from schemas import topics
from schemas.breaker import BreakerRules
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


NAMES = (
    "route",
    "expand",
    *(f"deliver.{channel}" for channel in CHANNELS),
    "persist",
    "preferences",
    "digest",
    "erase",
    "schedule",
    "bridge",
)


def workers_of(name: str, resources: Resources) -> list[Named]:
    """The workers a process runs for `name` (or `all`), one set per environment served."""
    resources = replace(resources, publisher=SealingPublisher(resources.publisher, seal_keys(resources.settings)[0]))
    names = NAMES if name == "all" else (name,)
    providers = open_providers(resources.settings, resources.http, resources.push)
    return [
        named
        for environment in resources.settings.environments
        for each in names
        for named in _with_news(each, environment, resources, providers)
    ]


def _with_news(name: str, environment: Environment, resources: Resources, providers: Providers) -> Iterator[Named]:
    """The worker; and where it calls providers, another that tells how they look from here."""
    channel, group = name.removeprefix("deliver."), topics.group(environment, name)
    dispatcher = _dispatcher(resources.settings, providers.get(channel, ()))
    yield Named(group, _worker(name, environment, resources, dispatcher))
    if dispatcher.seen():
        yield Named(f"{group}.news", ProviderNews(ProviderBoard(resources.redis), environment, channel, dispatcher.seen))


def _worker(name: str, environment: Environment, resources: Resources, dispatcher: Dispatcher) -> Worker:
    if name == "schedule":
        return Schedule(environment, resources.stores.timers, resources.publisher)
    if name == "bridge":
        return _bridge(environment, resources)
    handler = _handler(name, resources, dispatcher)
    if name != "route":  # route reads what the world writes, the others only what our own workers wrote
        handler = Sealed(handler, seal_keys(resources.settings), resources.publisher)
    return GroupConsumer(
        resources.settings,
        topics.group(environment, name),
        topics.subscription(environment, name),
        handler,
        gaps=QuarantinedGaps(resources.publisher),
        gate=dispatcher,
    )


def _dispatcher(settings: Settings, providers: Sequence[Provider]) -> Dispatcher:
    limits = Limits(
        timeout_s=settings.provider_timeout_s,
        attempt_s=settings.delivery_lease_s / 2,
        breaker=BreakerRules(settings.breaker_failures, settings.breaker_open_s),
        out_s=settings.provider_out_s,
        destination_in_flight=settings.destination_in_flight,
        longest_rest_s=settings.retry_after_max_s,
    )
    return Dispatcher(providers, limits, settings.provider_rates)


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


def _handler(name: str, resources: Resources, dispatcher: Dispatcher) -> Handler:
    stores, reporter = resources.stores, Reporter(resources.publisher, name)
    made: dict[str, Callable[[Resources, Reporter], Handler]] = {
        "route": _route,
        "expand": _expand,
        "digest": _digest,
        "erase": erase_of,
    }
    if name in made:
        return made[name](resources, reporter)
    if name == "persist":
        return Persist(
            stores.notifications,
            stores.expansions,
            stores.deliveries,
            stores.timers,
            resources.announcer,
            resources.publisher,
            reporter,
        )
    if name == "preferences":
        waking = Waking(stores.notifications, stores.deliveries, stores.timers)
        return ApplyPreferences(
            stores.preferences, resources.announcer, resources.publisher, stores.timers, waking, marks_of(resources)
        )
    return _deliver(name.removeprefix("deliver."), resources, reporter, dispatcher)


def _route(resources: Resources, reporter: Reporter) -> Route:
    stores = resources.stores
    arrivals = Arrivals(seal_keys(resources.settings), resources.settings.raw_producers)
    schedules = Schedules(stores.notifications, stores.schedules, stores.timers)
    return Route(
        arrivals,
        stores.notifications,
        _planner(resources),
        _canceller(resources, reporter),
        schedules,
        rescheduler_of(resources, schedules, reporter),
        _collapsing(resources, reporter),
        stores.timers,
        resources.publisher,
        reporter,
        _gathering(resources, reporter),
        SettingAside(resources.publisher, seal_keys(resources.settings)[0]),
    )


def _digest(resources: Resources, reporter: Reporter) -> CloseDigests:
    stores = resources.stores
    return CloseDigests(
        stores.digests,
        stores.notifications,
        stores.timers,
        choices_of(resources),
        HandingOut(
            stores.notifications,
            _collapsing(resources, reporter),
            resources.publisher,
            reporter,
            _gathering(resources, reporter),
        ),
        resources.publisher,
        reporter,
    )


def _canceller(resources: Resources, reporter: Reporter) -> Canceller:
    stores = resources.stores
    taking_out = TakingOut(stores.digests, stores.deliveries)
    return Canceller(stores.notifications, stores.deliveries, stores.inbox, resources.announcer, reporter, taking_out)


def _gathering(resources: Resources, reporter: Reporter) -> Gathering:
    stores = resources.stores
    return Gathering(
        stores.digests,
        stores.notifications,
        stores.deliveries,
        stores.timers,
        _wording(resources),
        clocks_of(resources),
        reporter,
    )


def _wording(resources: Resources) -> Wording:
    return Wording(resources.catalogue, resources.stores.contacts)


def _collapsing(resources: Resources, reporter: Reporter) -> Collapsing:
    stores = resources.stores
    taking_out = TakingOut(stores.digests, stores.deliveries)
    return Collapsing(
        stores.pointers,
        stores.notifications,
        stores.deliveries,
        stores.inbox,
        resources.announcer,
        reporter,
        taking_out,
    )


def _planner(resources: Resources) -> Planner:
    settings, stores = resources.settings, resources.stores
    quotas = Quotas(RateLimiter(resources.redis), QuotaRules.of(settings))
    return Planner(
        resources.catalogue,
        stores.contacts,
        capping_of(resources),
        settings.delivery_policy,
        choices_of(resources),
        quotas,
        clocks_of(resources),
        stores.devices,
    )


def _retracing(resources: Resources, reporter: Reporter) -> Retracing:
    stores = resources.stores
    schedules = Schedules(stores.notifications, stores.schedules, stores.timers)
    rescheduler = rescheduler_of(resources, schedules, reporter)
    return Retracing(stores.contacts, stores.deliveries, _canceller(resources, reporter), rescheduler)


def _expand(resources: Resources, reporter: Reporter) -> Expand:
    settings, stores = resources.settings, resources.stores
    parameters = connection(settings)
    return Expand(
        stores.notifications,
        stores.expansions,
        stores.contacts,
        stores.deliveries,
        stores.timers,
        _planner(resources),
        _retracing(resources, reporter),
        _gathering(resources, reporter),
        _collapsing(resources, reporter),
        resources.publisher,
        reporter,
        LagBacklog(lambda: open_lag_reader(parameters)),
        timedelta(seconds=settings.delivery_deadline_s),
        settings.bulk_backlog_max_s,
    )


def _deliver(channel: str, resources: Resources, reporter: Reporter, dispatcher: Dispatcher) -> Deliver:
    settings, stores = resources.settings, resources.stores
    longest = timedelta(seconds=settings.delivery_deadline_s)
    following = Following(stores.timers, stores.deliveries, stores.inbox, stores.pointers)
    if channel == "in_app":
        return DeliverInApp(
            stores.notifications,
            _wording(resources),
            resources.publisher,
            reporter,
            longest,
            Lines(stores.contacts, stores.devices),
            choices_of(resources),
            waits_of(resources),
            following,
            _gathering(resources, reporter),
            Holding(stores.deliveries, stores.timers),
            stores.inbox,
            resources.announcer,
        )
    waits = tuple(timedelta(seconds=wait) for wait in settings.retry_schedule_s)
    return DeliverExternal(
        stores.notifications,
        _wording(resources),
        resources.publisher,
        reporter,
        longest,
        Lines(stores.contacts, stores.devices),
        choices_of(resources),
        waits_of(resources),
        following,
        _gathering(resources, reporter),
        dispatcher,
        stores.deliveries,
        stores.timers,
        RetrySchedule(waits, timedelta(seconds=settings.retry_after_max_s)),
        Leases(settings.delivery_lease),
        Reachability(stores.devices, stores.contacts),
    )
