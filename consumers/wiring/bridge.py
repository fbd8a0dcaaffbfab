"""How the bridge from Redis is wired."""

from consumers.handlers.bridge import Bridge
from infrastructure.resources import Resources
from schemas.topics import Environment


def bridge_of(environment: Environment, resources: Resources) -> Bridge:
    settings = resources.settings
    return Bridge(
        resources.redis,
        resources.entrance,
        resources.publisher,
        environment=environment,
        producer=settings.bridge_producer,
        low_stock=settings.low_stock_source if environment == settings.default_environment else None,
        idle_takeover_s=settings.bridge_idle_takeover_s,
    )
