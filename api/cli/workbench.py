"""What operators' commands share: who is acting, which time is meant, the stores and Kafka behind them."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import asyncio
import getpass
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from api.cli.environment import settings_here, stop

if TYPE_CHECKING:
    from api.quarantine import Desk
    from api.repairs import Repairs
    from infrastructure.ports import Publisher
    from infrastructure.resources import Stores
    from infrastructure.settings import Settings
    from schemas.topics import Environment

NOT_DONE = 1
ADVICE = "Check KAFKA_BOOTSTRAP_SERVERS, AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB and the credentials."

Answer = TypeVar("Answer")

Where = Annotated[str, typer.Option("--environment", "-e", help="Which environment; DEFAULT_ENVIRONMENT if not said.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of lines.")]
By = Annotated[str, typer.Option("--by", help="Who is acting, for the record; your login name if not said.")]
Note = Annotated[str, typer.Option("--note", help="Why, for the record. Operators read it; write no addresses.")]
Channel = Annotated[str, typer.Option("--channel", help="Only this channel.")]
Reason = Annotated[str, typer.Option("--reason", help="Only reasons that begin so.")]
Text = Annotated[str, typer.Option("--text", help="Only records whose key or value contain this.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at most, newest first.")]
Since = Annotated[str, typer.Option("--since", help="Not before: 2026-12-01T08:00Z, or 2h ago.", metavar="TIME")]
Until = Annotated[str, typer.Option("--until", help="Not after, likewise.", metavar="TIME")]


@dataclass(frozen=True)
class Workbench:
    """One environment's stores, and what an operator does with them and with Kafka."""

    environment: "Environment"
    stores: "Stores"
    desk: "Desk"
    repairs: "Repairs"


def with_stores(work: "Callable[[Environment, Stores], Coroutine[Any, Any, Answer]]", environment: str) -> Answer:
    """Runs a command that only looks at the stores: it works while Kafka is away."""
    from infrastructure.dynamo.client import open_dynamo
    from infrastructure.resources import Stores

    settings, chosen = _chosen(environment)

    async def doing() -> Answer:
        async with open_dynamo(settings) as dynamo:
            return await work(chosen, Stores.on(dynamo))

    return _run(doing())


def at_the_bench(work: Callable[[Workbench], Coroutine[Any, Any, Answer]], environment: str) -> Answer:
    """Runs a command that reads Kafka or changes something."""
    settings, chosen = _chosen(environment)

    async def doing() -> Answer:
        async with _open_bench(settings, chosen) as bench:
            return await work(bench)

    return _run(doing())


def with_publisher(
    work: "Callable[[Environment, Stores, Publisher], Coroutine[Any, Any, Answer]]", environment: str
) -> Answer:
    """Runs a command that hands something to our workers; what it publishes is sealed."""
    from infrastructure.dynamo.client import open_dynamo
    from infrastructure.kafka.producer import open_publisher
    from infrastructure.kafka.sealing import SealingPublisher
    from infrastructure.resources import Stores, seal_keys

    settings, chosen = _chosen(environment)

    async def doing() -> Answer:
        async with open_dynamo(settings) as dynamo, open_publisher(settings) as publisher:
            return await work(chosen, Stores.on(dynamo), SealingPublisher(publisher, seal_keys(settings)[0]))

    return _run(doing())


def _run(doing: Coroutine[Any, Any, Answer]) -> Answer:
    """Exits with a sentence when a part cannot be reached."""
    from schemas.outcomes import Unavailable

    _log_to_stderr()
    try:
        return asyncio.run(doing)
    except Unavailable as error:
        stop(f"A part is out of reach: {error}. {ADVICE}")


def _chosen(environment: str) -> "tuple[Settings, Environment]":
    settings = settings_here()
    wanted = environment or settings.default_environment
    for each in settings.environments:
        if each == wanted:
            return settings, each
    stop(f"This deployment serves {', '.join(settings.environments)}; {environment} is none of them.")


@asynccontextmanager
async def _open_bench(settings: "Settings", environment: "Environment") -> AsyncIterator[Workbench]:
    from api.quarantine import Desk
    from api.repairs import Repairs
    from infrastructure.dynamo.client import open_dynamo
    from infrastructure.kafka.browsing import open_log
    from infrastructure.kafka.connection import connection
    from infrastructure.kafka.producer import open_publisher
    from infrastructure.kafka.sealing import SealingPublisher
    from infrastructure.resources import Stores, seal_keys

    async with (
        open_dynamo(settings) as dynamo,
        open_publisher(settings) as publisher,
        open_log(connection(settings)) as log,
    ):
        sealing = SealingPublisher(publisher, seal_keys(settings)[0])
        stores = Stores.on(dynamo)
        yield Workbench(environment, stores, Desk(log, stores.marks, publisher), Repairs(stores, sealing))


def _log_to_stderr() -> None:
    """Standard output belongs to the report. The lines that say who did what go to standard error."""
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def whoever(by: str) -> str:
    """The name that goes on record."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid:{os.getuid()}"


def moment(text: str) -> datetime | None:
    """A time with its zone, or how long ago: `2h`, `15m`, `PT1H`. None for nothing said."""
    from pydantic import TypeAdapter, ValidationError

    from schemas.base import UtcDatetime
    from schemas.durations import Duration

    if not text:
        return None
    try:
        return datetime.now(UTC) - TypeAdapter(Duration).validate_python(text.removesuffix(" ago"))
    except ValidationError:
        pass
    try:
        return TypeAdapter(UtcDatetime).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(f"{text} is no time: 2026-12-01T08:00Z, or how long ago it was, like 2h") from error


def refuse(sentence: str) -> typer.Exit:
    """What was asked for was not done; exit code 1."""
    typer.echo(sentence, err=True)
    return typer.Exit(NOT_DONE)
