"""`carillon setup`: everything a deployment needs before its first request."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import asyncio
from typing import TYPE_CHECKING

import typer

from api.cli.environment import settings_here, stop

if TYPE_CHECKING:
    from infrastructure.settings import Settings


def setup() -> None:
    """Create the Kafka topics and DynamoDB tables of ENVIRONMENTS that are missing; what exists stays as it is."""
    from botocore.exceptions import BotoCoreError, ClientError

    from schemas.outcomes import Unavailable

    settings = settings_here()
    try:
        created = asyncio.run(_create(settings))
    except (Unavailable, BotoCoreError, ClientError) as error:
        stop(f"Not everything could be created: {error}\nIt is safe to run this again.")
    typer.echo(f"Kafka topics created: {len(created)}. Tables of {', '.join(settings.environments)} are there.")


async def _create(settings: "Settings") -> list[str]:
    from infrastructure.dynamo.tables import create_tables
    from infrastructure.kafka.topics import create_topics

    created, _ = await asyncio.gather(create_topics(settings), create_tables(settings))
    return created
