"""How the worker that forgets people is wired."""

from consumers.forgetting import History
from consumers.handlers.erase import Erase
from consumers.parts import Parts
from consumers.unscheduling import Unscheduling
from infrastructure.auth.ending import Ending
from infrastructure.erasing import Pseudonyms
from infrastructure.kafka.reporting import Reporter
from infrastructure.resources import Resources, seal_keys


def erase_of(resources: Resources, reporter: Reporter) -> Erase:
    settings, stores = resources.settings, resources.stores
    history = History(
        stores.traces, stores.forgetting, stores.forgetting_digests, stores.notifications, stores.timers, reporter
    )
    key = seal_keys(settings)[0]
    unscheduling = Unscheduling(stores.schedules, stores.notifications, stores.timers, reporter, key)
    return Erase(
        stores.erasures,
        Pseudonyms.of(settings),
        Parts(stores.traces, stores.devices, history, unscheduling, Ending.of(settings, resources.redis)),
        stores.timers,
        resources.announcer,
        resources.publisher,
        settings.erasure_sweeps_s,
    )
