"""How the parts are wired that take back deliveries: because they are cancelled, or superseded."""

from consumers.cancelling import Canceller
from consumers.collapsing import Collapsing
from consumers.taking_out import TakingOut
from infrastructure.kafka.reporting import Reporter
from infrastructure.resources import Resources


def canceller_of(resources: Resources, reporter: Reporter) -> Canceller:
    stores = resources.stores
    taking_out = TakingOut(stores.digests, stores.deliveries)
    return Canceller(stores.notifications, stores.deliveries, stores.inbox, resources.announcer, reporter, taking_out)


def collapsing_of(resources: Resources, reporter: Reporter) -> Collapsing:
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
