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
    from dotenv import load_dotenv
    from pydantic import ValidationError

    from infrastructure.settings import Settings

    load_dotenv(LOCAL)  # overrides nothing; a missing file changes nothing
    try:
        return Settings()
    except ValidationError as error:
        stop(f"The settings cannot be used: {error}")


def stop(reason: str) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(UNREACHABLE)
