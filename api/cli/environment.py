"""Settings for a command: the environment's, and in a folder where `make run` works, the local stack's."""

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from infrastructure.settings import Settings

LOCAL = Path(".local/stack.env")
UNREACHABLE = 2


def settings_here() -> "Settings":
    """What is set wins over the local stack's addresses; exits with a sentence when it cannot be used."""
    # pylint: disable=import-outside-toplevel  # `--help` needs neither
    from pydantic import ValidationError

    from infrastructure.settings import Settings

    use_local_stack()
    try:
        return Settings()
    except ValidationError as error:
        stop(f"The settings cannot be used: {error}")


def use_local_stack() -> None:
    """The addresses of `make run` in this folder; they override nothing, and a missing file changes nothing."""
    from dotenv import load_dotenv  # pylint: disable=import-outside-toplevel

    load_dotenv(LOCAL)


def stop(reason: str) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(UNREACHABLE)
