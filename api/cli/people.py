"""`carillon people`: what is held about a person, handed over or erased, from a terminal that reaches tables and Kafka."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.environment import settings_here
from api.cli.workbench import By, Where, refuse, whoever, with_publisher, with_stores

if TYPE_CHECKING:
    from infrastructure.ports import Publisher
    from infrastructure.resources import Stores
    from schemas.erasures import Erasure
    from schemas.topics import Environment

people = typer.Typer(name="people", help="What is held about a person: export it, erase it.", no_args_is_help=True)

_WAIT_S = 30.0

Person = Annotated[str, typer.Argument(metavar="PERSON", help="Their id: what requests name under `to`.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it. Without it nothing is done.")]


@people.command()
def export(person: Person, environment: Where = "") -> None:
    """Everything held about a person, as JSON on standard output; docs/people.md has its shape.

    Exit code 0: it is complete. 2: the store does not answer.
    """
    from api.exporting import Export
    from infrastructure.catalogue import load_catalogue
    from infrastructure.live_catalogue import LiveCatalogue

    folder = load_catalogue(settings_here().types_dir)

    async def work(where: "Environment", stores: "Stores") -> None:
        async for piece in Export(stores, LiveCatalogue(folder, stores.types, stores.templates), where, person).text():
            typer.echo(piece, nl=False)
        typer.echo()

    with_stores(work, environment)


@people.command()
def erase(person: Person, yes: Yes = False, by: By = "", environment: Where = "") -> None:
    """Have a person forgotten. It cannot be undone; repeating it does no harm.

    Exit code 0: it is done. 1: nothing was done, or it is under way and not done yet. 2: the store or Kafka is away.
    """
    if not yes:
        raise refuse(f"This forgets {person} for good. If that is meant: carillon people erase {person} --yes")
    found = with_publisher(lambda where, stores, publisher: _erased(where, stores, publisher, person, by), environment)
    if found is None:
        raise refuse("It was asked for and is not done yet: is the worker `erase` running? Repeat this to see.")
    typer.echo(json.dumps(found, indent=2, default=str))


async def _erased(
    where: "Environment", stores: "Stores", publisher: "Publisher", person: str, by: str
) -> dict[str, Any] | None:
    from api.erasing import Erasing, shown_erasure
    from api.problems import Problem
    from infrastructure.erasing import Pseudonyms
    from schemas.outcomes import Unavailable

    erasing = Erasing(stores.erasures, Pseudonyms.of(settings_here()), publisher)
    command = erasing.command(where, person)
    try:
        await erasing.ask(command, by=whoever(by))
    except Problem as problem:
        raise Unavailable(str(problem)) from problem
    nobody_wakes: asyncio.Queue[str] = asyncio.Queue()
    found: Erasure | None = await erasing.done(command, nobody_wakes, _WAIT_S)
    return shown_erasure(found) if found else None
