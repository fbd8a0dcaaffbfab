"""How the worker that closes digests is wired."""

from consumers.handing_out import HandingOut
from consumers.handlers.digest import CloseDigests
from consumers.wiring.gathering import gathering_of
from consumers.wiring.taking_back import collapsing_of
from consumers.wiring.waiting import choices_of
from infrastructure.kafka.reporting import Reporter
from infrastructure.resources import Resources


def digest_of(resources: Resources, reporter: Reporter) -> CloseDigests:
    stores = resources.stores
    return CloseDigests(
        stores.digests,
        stores.notifications,
        stores.timers,
        choices_of(resources),
        HandingOut(
            stores.notifications,
            collapsing_of(resources, reporter),
            resources.publisher,
            reporter,
            gathering_of(resources, reporter),
        ),
        resources.publisher,
        reporter,
    )
