"""`carillon dlq`: deliveries that were given up and records in quarantine; look at them, then replay or discard them."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.dlq_replay import replay
from api.cli.looks import a_look
from api.cli.names import DeliveryName, name_of
from api.cli.workbench import (
    By,
    Channel,
    Json,
    Limit,
    Note,
    Reason,
    Since,
    Text,
    Until,
    Where,
    Workbench,
    at_the_bench,
    moment,
    refuse,
    whoever,
    with_stores,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infrastructure.resources import Stores
    from schemas.deliveries import Delivery
    from schemas.topics import Environment
    from schemas.troubled import Look

    Lines = Callable[[Sequence[Mapping[str, Any]]], list[str]]

GROUPED_OF_QUARANTINE = 1000

dlq = typer.Typer(
    name="dlq", help="Deliveries given up and records in quarantine: list, show, replay, discard.", no_args_is_help=True
)

Deliveries = Annotated[bool, typer.Option("--deliveries", help="Only deliveries, one by one.")]
Quarantine = Annotated[bool, typer.Option("--quarantine", help="Only records in quarantine, one by one.")]
State = Annotated[str, typer.Option("--state", help="FAILED, or PENDING: redriven and not taken up yet.")]
Name = Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` shows it: ntf_…/dlv_…, or PARTITION/OFFSET.")]


@dlq.command("list")
def list_(
    deliveries: Deliveries = False,
    quarantine: Quarantine = False,
    state: State = "FAILED",
    channel: Channel = "",
    reason: Reason = "",
    text: Text = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 20,
    environment: Where = "",
    as_json: Json = False,
) -> None:
    """Both kinds, grouped by reason; with --deliveries or --quarantine one kind, one by one.

    Exit code 0: it could be read, whether or not there is anything. 2: the store or Kafka does not answer.
    """
    from api.quarantine import Sieve
    from infrastructure.kafka.browsing import Span

    look = a_look(state, channel, reason, moment(since), moment(until))
    sieve, span = Sieve(reason, text), Span(look.since, look.until)
    if deliveries and not quarantine:
        rows = with_stores(lambda where, stores: newest_rows(where, stores, look, limit), environment)
        show_rows(rows, as_json)
        return
    if quarantine and not deliveries:
        show_entries(
            at_the_bench(lambda bench: bench.desk.newest(bench.environment, sieve, span, limit), environment)[0], as_json
        )
        return

    async def both(bench: Workbench) -> tuple[Any, Any]:
        grouped = await bench.stores.trouble.grouped(bench.environment, look)
        entries, before = await bench.desk.newest(bench.environment, sieve, span, GROUPED_OF_QUARANTINE)
        counts = Counter(("", entry.record.reason) for entry in entries if entry.mark is None)
        return grouped, (counts, before is None)

    _show_groups(*at_the_bench(both, environment), as_json=as_json)


@dlq.command()
def show(name: Name, environment: Where = "", as_json: Json = False) -> None:
    """One of them whole: a delivery with its history, or a record with its headers and bytes.

    Exit code 0: it is there. 1: it is not, or not any more. 2: the store or Kafka does not answer.
    """
    from api.audiences import row_named
    from api.cli.lag_table import plain
    from api.cli.letters_table import whole
    from api.shown import shown_whole

    wanted = name_of(name)
    if isinstance(wanted, DeliveryName):
        row = with_stores(
            lambda where, stores: row_named(stores, where, wanted.notification_id, wanted.delivery_id), environment
        )
        if row is None:
            raise refuse(f"There is no delivery {name}.")
        document = row.model_dump(mode="json", exclude={"claim_token"}, exclude_none=True)
        lines = [plain(f"{field:<16} {value}") for field, value in document.items() if field != "history"]
        lines += [plain("  " + ", ".join(str(value) for value in step.values())) for step in document["history"]]
    else:
        entry = at_the_bench(lambda bench: bench.desk.at(bench.environment, wanted.partition, wanted.offset), environment)
        if entry is None:
            raise refuse(f"There is no record at {name}, or not any more.")
        document = shown_whole(entry)
        lines = whole(document)
    typer.echo(json.dumps(document) if as_json else "\n".join(lines))


dlq.command()(replay)


@dlq.command()
def discard(
    names: Annotated[list[str], typer.Argument(metavar="ID...", help="As `dlq list` shows them.")],
    note: Note = "",
    by: By = "",
    environment: Where = "",
    as_json: Json = False,
) -> None:
    """Take it off the list for good. A delivery stays FAILED, a record stays in its Kafka topic; both say who did it.

    Exit code 0: all are off the list. 1: at least one is not, and why. 2: the store or Kafka does not answer.
    """
    wanted = [(name, name_of(name)) for name in names]
    who = whoever(by)

    async def discarding(bench: Workbench) -> list[str]:
        return [said for name, one in wanted if (said := await _discard(bench, name, one, who, note)) is not None]

    problems = at_the_bench(discarding, environment)
    count = len(names) - len(problems)
    typer.echo(json.dumps({"discarded": count, "problems": problems}) if as_json else f"{count} discarded.")
    if problems:
        raise refuse("\n".join(problems))


async def _discard(bench: Workbench, name: str, wanted: Any, by: str, note: str) -> str | None:
    """Why not, if so."""
    from infrastructure.dynamo.troubled import NotSo

    if isinstance(wanted, DeliveryName):
        change = await bench.repairs.discard(bench.environment, wanted.notification_id, wanted.delivery_id, by, note)
        if change is None:
            return f"There is no delivery {name}."
        if isinstance(change, NotSo):
            return f"{name} is {change.delivery.state}: only what is FAILED can be discarded."
        return None
    entry = await bench.desk.at(bench.environment, wanted.partition, wanted.offset)
    if entry is None:
        return f"There is no record at {name}, or not any more."
    refused = await bench.desk.discard(bench.environment, entry, by)
    return f"{name} was left as it is: {refused.why}." if refused else None


async def newest_rows(environment: "Environment", stores: "Stores", look: "Look", limit: int) -> "list[Delivery]":
    rows: list[Delivery] = []
    after: str | None = None
    while True:
        page = await stores.trouble.page(environment, look, after=after, limit=min(100, limit - len(rows)))
        rows += page.rows
        if (after := page.after) is None or len(rows) >= limit:
            return rows


def show_rows(rows: "list[Delivery]", as_json: bool) -> None:
    from api.cli.letters_table import deliveries as lines

    print_rows(rows, lines, as_json)


def print_rows(rows: "list[Delivery]", lines: "Lines", as_json: bool, *, nothing: str = "There is none.") -> None:
    """As JSON, or as the lines of a table."""
    from api.shown import shown_delivery

    shown = [shown_delivery(row) for row in rows]
    typer.echo(json.dumps(shown) if as_json else "\n".join(lines(shown)) if shown else nothing)


def show_entries(entries: list[Any], as_json: bool) -> None:
    from api.cli.letters_table import entries as lines
    from api.shown import shown_entry

    shown = [shown_entry(entry) for entry in entries]
    typer.echo(json.dumps(shown) if as_json else "\n".join(lines(shown)) if shown else "There is none.")


def _show_groups(given_up: Any, quarantine: Any, *, as_json: bool) -> None:
    from api.cli.letters_table import groups
    from api.shown import shown_groups

    counts, whole = quarantine
    if as_json:
        document = {
            "deliveries": {"complete": given_up.whole, "groups": shown_groups(given_up.counts)},
            "quarantine": {
                "complete": whole,
                "groups": [{"reason": why, "count": n} for (_, why), n in counts.most_common()],
            },
        }
        typer.echo(json.dumps(document))
        return
    for title, found, complete in (("DELIVERIES", given_up.counts, given_up.whole), ("QUARANTINE", counts, whole)):
        typer.echo(f"{title}: {sum(found.values())}{'' if complete else ' or more'}")
        typer.echo("\n".join(f"  {line}" for line in groups(found)) if found else "  none")
    typer.echo("One by one: carillon dlq list --deliveries, carillon dlq list --quarantine")
