"""`carillon lag`: the lag of any group of any cluster, from a terminal."""
# pylint: disable=import-outside-toplevel  # aiokafka and pydantic cost half a second, and `--help` needs neither

import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from infrastructure.kafka.lag_watch import LagWatch
    from schemas.lag import GroupLag

UNWELL, UNREACHABLE = 1, 2
ADVICE = (
    "Check the address (--bootstrap-servers host:port, or KAFKA_BOOTSTRAP_SERVERS), that a broker listens there, "
    "and KAFKA_SECURITY_PROTOCOL and KAFKA_SASL_… if the cluster asks for TLS or a password."
)

Names = Annotated[list[str] | None, typer.Argument(metavar="[GROUP]...", help="Groups to show; dev.* means a prefix.")]
Servers = Annotated[str, typer.Option("--bootstrap-servers", "-b", help="host:port,… instead of KAFKA_BOOTSTRAP_SERVERS.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Draw again after every look, until Ctrl-C.")]
Json = Annotated[bool, typer.Option("--json", help="A JSON array of groups, one line per look.")]
Interval = Annotated[float, typer.Option("--interval", "-i", min=0.2, help="Seconds between two looks.")]


def lag(
    groups: Names = None,
    bootstrap_servers: Servers = "",
    watch: Watch = False,
    as_json: Json = False,
    interval: Interval = 2,
) -> None:
    """How far consumer groups are behind, and the rule that says so.

    Reads only: joins no group, commits nothing, creates nothing. Where there is lag it looks twice: one look shows no trend.

    Exit code 0: every group is OK. 1: a group is not, or a named one does not exist. 2: the cluster does not answer.
    """
    from schemas.lag import Status
    from schemas.outcomes import Unavailable

    _log_to_stderr()
    names = tuple(groups or ())
    parameters = _parameters(bootstrap_servers)
    try:
        report = asyncio.run(_look(parameters, names, watching=watch, as_json=as_json, interval_s=interval))
    except Unavailable as error:
        _stop(f"Kafka cannot be read: {error}.\n{ADVICE}")
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    missing = [name for name in names if not name.endswith("*") and name not in {one.group for one in report}]
    for name in missing:
        typer.echo(f"There is no group {name}.", err=True)
    raise typer.Exit(UNWELL if missing or any(one.status is not Status.OK for one in report) else 0)


def _stop(reason: str) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(UNREACHABLE) from None


def _log_to_stderr() -> None:
    """Standard output belongs to the report; aiokafka's own warnings say again what the exit sentence says."""
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _parameters(bootstrap_servers: str) -> dict[str, Any]:
    """Any cluster may be looked at, so what only a deployment needs (its secret key) is not asked for."""
    from pydantic import ValidationError

    from api.cli.environment import use_local_stack
    from infrastructure.kafka.connection import connection
    from infrastructure.settings import Settings

    use_local_stack()
    named = {"kafka_bootstrap_servers": bootstrap_servers} if bootstrap_servers else {}
    try:
        return connection(Settings.model_validate({"deployment": "local", **named}))
    except (ValidationError, OSError) as error:
        _stop(f"The settings cannot be used: {error}")


async def _look(
    parameters: dict[str, Any], names: tuple[str, ...], *, watching: bool, as_json: bool, interval_s: float
) -> tuple["GroupLag", ...]:
    """Shows one report, or with `watching` one per interval, through outages, until interrupted."""
    from infrastructure.kafka.lag import open_lag_reader
    from infrastructure.kafka.lag_watch import LagWatch

    watch = LagWatch(lambda: open_lag_reader(parameters), groups=names, interval_s=interval_s)
    async with open_lag_reader(parameters) as reader:
        watch.take(await reader.read(names), time.time())
        if not watching and any(one.lag for one in watch.report):
            await asyncio.sleep(interval_s)
            watch.take(await reader.read(names), time.time())
    _show(watch, watching=watching, as_json=as_json)
    if watching:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch.run())
            while True:
                await asyncio.sleep(interval_s)
                _show(watch, watching=True, as_json=as_json)
    return watch.report


def _show(watch: "LagWatch", *, watching: bool, as_json: bool) -> None:
    import json

    from api.cli.lag_table import table

    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in watch.report]))
        return
    if watching and sys.stdout.isatty():
        typer.echo("\x1b[H\x1b[2J", nl=False)
    typer.echo(table(watch.report))
    if watch.trouble:
        typer.echo(f"These figures are old: {watch.trouble}. Trying again every {watch.interval_s:g} s.", err=True)
