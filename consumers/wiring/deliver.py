"""How the workers that deliver are wired, one for each channel, and what calls the providers of one."""

from collections.abc import Sequence
from datetime import timedelta

from consumers.dispatch import Dispatcher
from consumers.following import Following
from consumers.handlers.deliver import Deliver, Shared
from consumers.handlers.deliver_external import DeliverExternal
from consumers.handlers.deliver_in_app import DeliverInApp
from consumers.holding import Holding
from consumers.leases import Leases
from consumers.lines import Lines
from consumers.provider_line import Limits
from consumers.reachability import Reachability
from consumers.wiring.content import wording_of
from consumers.wiring.gathering import gathering_of
from consumers.wiring.waiting import choices_of, waits_of
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Provider
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas.breaker import BreakerRules
from schemas.retries import RetrySchedule


def deliver_of(channel: str, resources: Resources, reporter: Reporter, dispatcher: Dispatcher) -> Deliver:
    settings, stores = resources.settings, resources.stores
    shared = _shared(resources, reporter)
    if channel == "in_app":
        return DeliverInApp(shared, Holding(stores.deliveries, stores.timers), stores.inbox, resources.announcer)
    waits = tuple(timedelta(seconds=wait) for wait in settings.retry_schedule_s)
    return DeliverExternal(
        shared,
        dispatcher,
        stores.deliveries,
        stores.timers,
        RetrySchedule(waits, timedelta(seconds=settings.retry_after_max_s)),
        Leases(settings.delivery_lease),
        Reachability(stores.devices, stores.contacts),
    )


def _shared(resources: Resources, reporter: Reporter) -> Shared:
    stores = resources.stores
    return Shared(
        notifications=stores.notifications,
        wording=wording_of(resources),
        publisher=resources.publisher,
        reporter=reporter,
        longest=timedelta(seconds=resources.settings.delivery_deadline_s),
        lines=Lines(stores.contacts, stores.devices),
        choices=choices_of(resources),
        waits=waits_of(resources),
        following=Following(stores.timers, stores.deliveries, stores.inbox, stores.pointers),
        gathering=gathering_of(resources, reporter),
    )


def dispatcher_of(settings: Settings, providers: Sequence[Provider]) -> Dispatcher:
    limits = Limits(
        timeout_s=settings.provider_timeout_s,
        attempt_s=settings.delivery_lease_s / 2,
        breaker=BreakerRules(settings.breaker_failures, settings.breaker_open_s),
        out_s=settings.provider_out_s,
        destination_in_flight=settings.destination_in_flight,
        longest_rest_s=settings.retry_after_max_s,
    )
    return Dispatcher(providers, limits, settings.provider_rates)
