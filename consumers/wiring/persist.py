"""How the worker that folds what happened is wired."""

from consumers.handlers.persist import Persist
from infrastructure.kafka.reporting import Reporter
from infrastructure.resources import Resources


def persist_of(resources: Resources, reporter: Reporter) -> Persist:
    stores = resources.stores
    return Persist(
        stores.notifications,
        stores.expansions,
        stores.deliveries,
        stores.timers,
        resources.announcer,
        resources.publisher,
        reporter,
    )
