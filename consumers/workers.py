"""Every worker by its name, and how one is run: members of consumer groups, the bridge, the schedule."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from consumers.dispatch import Dispatcher
from consumers.provider_news import ProviderNews
from consumers.schedule import Schedule
from consumers.sealed import Sealed
from consumers.wiring.bridge import bridge_of
from consumers.wiring.deliver import deliver_of, dispatcher_of
from consumers.wiring.digest import digest_of
from consumers.wiring.erase import erase_of
from consumers.wiring.expand import expand_of
from consumers.wiring.persist import persist_of
from consumers.wiring.preferences import preferences_of
from consumers.wiring.route import route_of
from infrastructure.channels import Providers, open_providers
from infrastructure.kafka.consuming.consumer import GroupConsumer
from infrastructure.kafka.quarantine import QuarantinedGaps
from infrastructure.kafka.reporting import Reporter
from infrastructure.kafka.sealing import SealingPublisher
from infrastructure.ports import Handler
from infrastructure.redis.provider_board import ProviderBoard
from infrastructure.resources import Resources, seal_keys
from schemas import topics
from schemas.requests import CHANNELS
from schemas.topics import Environment


class Worker(Protocol):
    async def run(self) -> None:
        """Works until `stop`, then ends cleanly."""

    def stop(self) -> None: ...

    @property
    def alive(self) -> bool:
        """Made of progress, not of reachability: a broker that is away does not make a worker look dead."""


@dataclass(frozen=True)
class Named:
    """A worker with the name operators know it by."""

    name: str
    worker: Worker


NAMES = (
    "route",
    "expand",
    *(f"deliver.{channel}" for channel in CHANNELS),
    "persist",
    "preferences",
    "digest",
    "erase",
    "schedule",
    "bridge",
)
_HANDLERS: dict[str, Callable[[Resources, Reporter], Handler]] = {
    "route": route_of,
    "expand": expand_of,
    "persist": persist_of,
    "preferences": preferences_of,
    "digest": digest_of,
    "erase": erase_of,
}


def workers_of(name: str, resources: Resources) -> list[Named]:
    """The workers a process runs for `name` (or `all`), one set per environment served."""
    resources = replace(resources, publisher=SealingPublisher(resources.publisher, seal_keys(resources.settings)[0]))
    names = NAMES if name == "all" else (name,)
    providers = open_providers(resources.settings, resources.http, resources.push)
    return [
        named
        for environment in resources.settings.environments
        for each in names
        for named in _with_news(each, environment, resources, providers)
    ]


def _with_news(name: str, environment: Environment, resources: Resources, providers: Providers) -> Iterator[Named]:
    """The worker; and where it calls providers, another that tells how they look from here."""
    channel, group = name.removeprefix("deliver."), topics.group(environment, name)
    dispatcher = dispatcher_of(resources.settings, providers.get(channel, ()))
    yield Named(group, _worker(name, environment, resources, dispatcher))
    if dispatcher.seen():
        yield Named(f"{group}.news", ProviderNews(ProviderBoard(resources.redis), environment, channel, dispatcher.seen))


def _worker(name: str, environment: Environment, resources: Resources, dispatcher: Dispatcher) -> Worker:
    if name == "schedule":
        return Schedule(environment, resources.stores.timers, resources.publisher)
    if name == "bridge":
        return bridge_of(environment, resources)
    handler = _handler(name, resources, dispatcher)
    if name != "route":  # route reads what the world writes, the others only what our own workers wrote
        handler = Sealed(handler, seal_keys(resources.settings), resources.publisher)
    return GroupConsumer(
        resources.settings,
        topics.group(environment, name),
        topics.subscription(environment, name),
        handler,
        gaps=QuarantinedGaps(resources.publisher),
        gate=dispatcher,
    )


def _handler(name: str, resources: Resources, dispatcher: Dispatcher) -> Handler:
    reporter = Reporter(resources.publisher, name)
    if name in _HANDLERS:
        return _HANDLERS[name](resources, reporter)
    return deliver_of(name.removeprefix("deliver."), resources, reporter, dispatcher)
