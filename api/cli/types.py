"""`carillon types`: whether a folder of types and templates can be used, and what is in force."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.environment import settings_here
from api.cli.workbench import Json, Where, refuse, with_stores

if TYPE_CHECKING:
    from infrastructure.resources import Stores
    from schemas.versions import Head

types = typer.Typer(name="types", help="Notification types and templates: check a folder, list.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="What TYPES_DIR is to point at.")]


@types.command()
def check(folder: Folder) -> None:
    """Say whether a start with this folder would work. Needs nothing but the folder: good before a commit.

    Exit code 0: it can be used. 1: what is wrong, with file, part and line.
    """
    from infrastructure.catalogue import BrokenCatalogue, load_catalogue

    try:
        found = load_catalogue(folder)
    except BrokenCatalogue as error:
        raise refuse(str(error)) from None
    counted = [sum(each.pinned == name for name, each in entries.items()) for entries in (found.types, found.templates)]
    typer.echo(f"{folder}: {counted[0]} types and {counted[1]} templates, all of which can be used.")


@types.command("list")
def list_(environment: Where = "", as_json: Json = False) -> None:
    """Every type and template with its newest version: the folder's, and those saved over the API.

    Exit code 0: it could be read. 2: the table does not answer.
    """
    rows = with_stores(_rows, environment)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    typer.echo("\n".join(f"{row['what']:<9} {row['name']:<40} {row['version']:>4}  {row['source']}" for row in rows))


async def _rows(environment: str, stores: "Stores") -> list[dict[str, Any]]:
    from infrastructure.catalogue import load_catalogue
    from schemas.versions import head_of

    folder = load_catalogue(settings_here().types_dir)
    own = {
        "type": [head_of(name, each.version, each) for name, each in folder.types.items() if name != each.pinned],
        "template": [head_of(name, each.version, each) for name, each in folder.templates.items() if name != each.pinned],
    }
    saved = {"type": await stores.types.heads(environment), "template": await stores.templates.heads(environment)}
    return [row for what, mine in own.items() for row in _of_one_noun(what, mine, saved[what])]


def _of_one_noun(what: str, own: "list[Head]", saved: "list[Head]") -> list[dict[str, Any]]:
    mine = {head.name for head in own}
    found = [(head, "folder") for head in own]
    found += [(head, "retired" if head.retired else "api") for head in saved if head.name not in mine]
    named = sorted(found, key=lambda each: each[0].name)
    return [{"what": what, "name": head.name, "version": head.newest, "source": source} for head, source in named]
