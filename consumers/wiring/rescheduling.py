"""How the parts are wired that know when a request is due, and give it another time."""

from consumers.holding import Holding
from consumers.rescheduling import Rescheduler
from consumers.schedules import Schedules
from consumers.wiring.waiting import clocks_of
from infrastructure.kafka.reporting import Reporter
from infrastructure.resources import Resources


def schedules_of(resources: Resources) -> Schedules:
    stores = resources.stores
    return Schedules(stores.notifications, stores.schedules, stores.timers)


def rescheduler_of(resources: Resources, reporter: Reporter) -> Rescheduler:
    stores = resources.stores
    return Rescheduler(
        stores.notifications,
        schedules_of(resources),
        stores.deliveries,
        stores.inbox,
        Holding(stores.deliveries, stores.timers),
        clocks_of(resources),
        resources.announcer,
        reporter,
    )
