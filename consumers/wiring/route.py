"""How the worker that plans requests is wired."""

from consumers.arrivals import Arrivals
from consumers.handlers.route import Route
from consumers.setting_aside import SettingAside
from consumers.wiring.gathering import gathering_of
from consumers.wiring.planning import planner_of
from consumers.wiring.rescheduling import rescheduler_of, schedules_of
from consumers.wiring.taking_back import canceller_of, collapsing_of
from infrastructure.kafka.reporting import Reporter
from infrastructure.resources import Resources, seal_keys


def route_of(resources: Resources, reporter: Reporter) -> Route:
    stores = resources.stores
    arrivals = Arrivals(seal_keys(resources.settings), resources.settings.raw_producers)
    return Route(
        arrivals,
        stores.notifications,
        planner_of(resources),
        canceller_of(resources, reporter),
        schedules_of(resources),
        rescheduler_of(resources, reporter),
        collapsing_of(resources, reporter),
        stores.timers,
        resources.publisher,
        reporter,
        gathering_of(resources, reporter),
        SettingAside(resources.publisher, seal_keys(resources.settings)[0]),
    )
