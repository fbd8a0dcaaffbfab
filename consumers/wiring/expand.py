"""How the worker that walks audiences is wired."""

from datetime import timedelta

from consumers.handlers.expand import Expand
from consumers.retracing import Retracing
from consumers.wiring.gathering import gathering_of
from consumers.wiring.planning import planner_of
from consumers.wiring.rescheduling import rescheduler_of
from consumers.wiring.taking_back import canceller_of, collapsing_of
from infrastructure.kafka.backlog import LagBacklog
from infrastructure.kafka.connection import connection
from infrastructure.kafka.lag import open_lag_reader
from infrastructure.kafka.reporting import Reporter
from infrastructure.resources import Resources


def expand_of(resources: Resources, reporter: Reporter) -> Expand:
    settings, stores = resources.settings, resources.stores
    parameters = connection(settings)
    return Expand(
        stores.notifications,
        stores.expansions,
        stores.contacts,
        stores.deliveries,
        stores.timers,
        planner_of(resources),
        _retracing(resources, reporter),
        gathering_of(resources, reporter),
        collapsing_of(resources, reporter),
        resources.publisher,
        reporter,
        LagBacklog(lambda: open_lag_reader(parameters)),
        timedelta(seconds=settings.delivery_deadline_s),
        settings.bulk_backlog_max_s,
    )


def _retracing(resources: Resources, reporter: Reporter) -> Retracing:
    stores = resources.stores
    canceller, rescheduler = canceller_of(resources, reporter), rescheduler_of(resources, reporter)
    return Retracing(stores.contacts, stores.deliveries, canceller, rescheduler)
