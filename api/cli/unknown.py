"""`carillon unknown`: deliveries of which nobody can tell whether they arrived. A person finds out and says so."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import json
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.dlq import newest_rows, show_rows
from api.cli.looks import a_look
from api.cli.names import delivery_of
from api.cli.workbench import (
    By,
    Channel,
    Json,
    Limit,
    Note,
    Reason,
    Since,
    Until,
    Where,
    at_the_bench,
    moment,
    refuse,
    whoever,
    with_stores,
)

if TYPE_CHECKING:
    from schemas.troubled import Settlement

unknown = typer.Typer(
    name="unknown", help="Deliveries of which nobody can tell whether they arrived: list, settle.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="ID", help="As `unknown list` shows it: ntf_…/dlv_…")]


@unknown.command("list")
def list_(
    channel: Channel = "",
    reason: Reason = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 20,
    environment: Where = "",
    as_json: Json = False,
) -> None:
    """Newest first, with the reason for the doubt. Ask the provider, or the person, and settle each.

    Exit code 0: it could be read, whether or not there is any. 2: the store does not answer.
    """
    look = a_look("UNKNOWN", channel, reason, moment(since), moment(until))
    show_rows(with_stores(lambda where, stores: newest_rows(where, stores, look, limit), environment), as_json)


@unknown.command()
def settle(
    name: Name,
    sent: Annotated[bool | None, typer.Option("--sent/--failed", help="What became of it.", show_default=False)] = None,
    note: Note = "",
    by: By = "",
    environment: Where = "",
    as_json: Json = False,
) -> None:
    """Say what became of one: --sent, or --failed, and then it can be replayed. The producer hears of it.

    Exit code 0: it is settled so, now or before. 1: it is not UNKNOWN, or there is none. 2: the store or Kafka is away.
    """
    from api.shown import shown_delivery
    from infrastructure.dynamo.troubled import Already, NotSo

    wanted = delivery_of(name)
    if sent is None:
        raise typer.BadParameter("say what became of it: --sent or --failed")
    state: Settlement = "SENT" if sent else "FAILED"
    ids = wanted.notification_id, wanted.delivery_id
    change = at_the_bench(lambda bench: bench.repairs.settle(bench.environment, *ids, state, whoever(by), note), environment)
    if change is None:
        raise refuse(f"There is no delivery {name}.")
    if isinstance(change, NotSo):
        raise refuse(f"{name} is {change.delivery.state}: only what is UNKNOWN can be settled.")
    before = isinstance(change, Already)
    if as_json:
        typer.echo(json.dumps(shown_delivery(change.delivery) | {"changed": not before}))
    else:
        typer.echo(f"{name} is {state}" + (", and was before." if before else "."))
