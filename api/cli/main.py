"""The command line. Each command imports what it needs when it runs, so that `carillon --help` is there at once."""

import typer

from api.cli.dlq import dlq
from api.cli.holds import holds
from api.cli.keys import keys
from api.cli.lag import lag
from api.cli.people import people
from api.cli.setup import setup
from api.cli.trace import trace
from api.cli.types import types
from api.cli.unknown import unknown
from api.cli.vapid import vapid

app = typer.Typer(
    name="carillon",
    help="Event-driven notifications on Kafka.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks would print local values
)


@app.callback()
def carillon() -> None:
    """Event-driven notifications on Kafka."""


app.command()(lag)
app.command()(trace)
app.command()(setup)
app.command()(vapid)
app.add_typer(dlq)
app.add_typer(unknown)
app.add_typer(holds)
app.add_typer(keys)
app.add_typer(types)
app.add_typer(people)


def run() -> None:
    """The entry point `carillon`."""
    app()
