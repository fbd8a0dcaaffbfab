"""`carillon holds`: what rests until its time comes. See it, count it, let go of it after a dry run."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from api.cli.dlq import newest_rows, print_rows
from api.cli.dlq_replay import DryRun, Expect, Names, Notification, Rate, Work, Yes, carry_through
from api.cli.looks import held
from api.cli.names import delivery_of
from api.cli.replaying import DeliveriesOf, Named, Task
from api.cli.workbench import (
    By,
    Channel,
    Json,
    Limit,
    Reason,
    Since,
    Until,
    Where,
    moment,
    whoever,
    with_stores,
)

if TYPE_CHECKING:
    from infrastructure.dynamo.troubled import Grouped

holds = typer.Typer(
    name="holds", help="Deliveries that rest until their time comes: list, count, release.", no_args_is_help=True
)


@holds.command("list")
def list_(
    channel: Channel = "",
    reason: Reason = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 20,
    environment: Where = "",
    as_json: Json = False,
) -> None:
    """Newest first: why each rests, and until when.

    Exit code 0: it could be read, whether or not there is any. 2: the store does not answer.
    """
    from api.cli.letters_table import holds as lines

    look = held(channel, reason, moment(since), moment(until))
    rows = with_stores(lambda where, stores: newest_rows(where, stores, look, limit), environment)
    print_rows(rows, lines, as_json, nothing="Nothing is held.")


@holds.command()
def count(
    channel: Channel = "",
    reason: Reason = "",
    since: Since = "",
    until: Until = "",
    environment: Where = "",
    as_json: Json = False,
) -> None:
    """How many of each channel and reason.

    Exit code 0: it could be read, whether or not there is any. 2: the store does not answer.
    """
    from api.cli.letters_table import groups
    from api.shown import shown_groups

    look = held(channel, reason, moment(since), moment(until))
    found: Grouped = with_stores(lambda where, stores: stores.trouble.grouped(where, look), environment)
    if as_json:
        typer.echo(json.dumps({"total": found.total, "complete": found.whole, "groups": shown_groups(found.counts)}))
        return
    typer.echo(f"HELD: {found.total}{'' if found.whole else ' or more'}")
    typer.echo("\n".join(f"  {line}" for line in groups(found.counts)) if found.total else "  none")


@holds.command()
def release(
    names: Names = None,
    channel: Channel = "",
    reason: Reason = "",
    since: Since = "",
    until: Until = "",
    notification: Notification = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    expect: Expect = None,
    rate: Rate = 50,
    by: By = "",
    environment: Where = "",
    as_json: Json = False,
) -> None:
    """They go out now, each once, whatever holds them. Shows, and does only on demand.

    Repeating it does no harm: what is on its way or was sent is left alone. Ctrl-C stops it; run it again to go on.

    Exit code 0: done, or shown. 1: something was refused, or it is not as many as expected. 2: the store or Kafka is away.
    """
    latest = moment(until) or datetime.now(UTC)
    task: Task = DeliveriesOf(held(channel, reason, moment(since), latest), notification)
    if names:
        task = Named([(name, delivery_of(name)) for name in names], release=True)
    do = (yes or expect is not None) and not dry_run
    carry_through(Work(task, whoever(by) if do else "", rate, 0), expect, latest, environment, do=do, as_json=as_json)
