"""How the part is wired by which requests, and the pages of an audience, become deliveries."""

from consumers.planning import Planner
from consumers.quotas import QuotaRules, Quotas
from consumers.wiring.waiting import capping_of, choices_of, clocks_of
from infrastructure.redis.rate_limit import RateLimiter
from infrastructure.resources import Resources


def planner_of(resources: Resources) -> Planner:
    settings, stores = resources.settings, resources.stores
    quotas = Quotas(RateLimiter(resources.redis), QuotaRules.of(settings))
    return Planner(
        resources.catalogue,
        stores.contacts,
        capping_of(resources),
        settings.delivery_policy,
        choices_of(resources),
        quotas,
        clocks_of(resources),
        stores.devices,
    )
