"""How the part is wired by which deliveries join digests."""

from consumers.gathering import Gathering
from consumers.wiring.content import wording_of
from consumers.wiring.waiting import clocks_of
from infrastructure.kafka.reporting import Reporter
from infrastructure.resources import Resources


def gathering_of(resources: Resources, reporter: Reporter) -> Gathering:
    stores = resources.stores
    return Gathering(
        stores.digests,
        stores.notifications,
        stores.deliveries,
        stores.timers,
        wording_of(resources),
        clocks_of(resources),
        reporter,
    )
