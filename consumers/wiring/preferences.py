"""How the worker that applies preferences is wired."""

from consumers.handlers.preferences import ApplyPreferences
from consumers.waking import Waking
from consumers.wiring.waiting import marks_of
from infrastructure.kafka.reporting import Reporter
from infrastructure.resources import Resources


def preferences_of(resources: Resources, _reporter: Reporter) -> ApplyPreferences:
    """It reports nothing: whoever gave a command finds its verdict."""
    stores = resources.stores
    waking = Waking(stores.notifications, stores.deliveries, stores.timers)
    return ApplyPreferences(
        stores.preferences, resources.announcer, resources.publisher, stores.timers, waking, marks_of(resources)
    )
