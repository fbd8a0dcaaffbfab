"""`carillon trace ID`: one notification's whole way, from the store, in a terminal."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.environment import settings_here, stop

if TYPE_CHECKING:
    from infrastructure.settings import Settings

UNKNOWN = 1

Id = Annotated[str, typer.Argument(metavar="ID", help="A notification id: ntf_…")]
Environment = Annotated[str, typer.Option("--environment", "-e", help="Where it was sent; DEFAULT_ENVIRONMENT if not said.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]


def trace(notification_id: Id, environment: Environment = "", as_json: Json = False) -> None:
    """What became of a notification: every delivery, every attempt, every place in Kafka.

    Exit code 0: it was found. 1: no notification has this id. 2: the store does not answer.
    """
    from schemas.outcomes import Unavailable

    settings = settings_here()
    try:
        found = asyncio.run(_read(settings, environment or settings.default_environment, notification_id))
    except Unavailable as error:
        stop(f"The store cannot be read: {error}. Check AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB and the credentials.")
    if found is None:
        typer.echo(f"No notification {notification_id} in {environment or settings.default_environment}.", err=True)
        raise typer.Exit(UNKNOWN)
    status, events = found
    if as_json:
        typer.echo(json.dumps(status | {"events": events}, default=str))
        return
    for line in lines_of(status, events):
        typer.echo(line)


async def _read(
    settings: "Settings", environment: str, notification_id: str
) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    from api.audiences import rows_shown
    from api.status import read_status, timeline_of
    from infrastructure.dynamo.client import open_dynamo
    from infrastructure.resources import Stores

    async with open_dynamo(settings) as dynamo:
        stores = Stores.on(dynamo)
        status = await read_status(stores, environment, notification_id)
        notification = await stores.notifications.get(environment, notification_id)
        rows = (await rows_shown(stores, notification, None))[1] if notification else []
        return (status, timeline_of(notification, rows, for_operators=True) if notification else []) if status else None


def lines_of(status: dict[str, Any], events: list[dict[str, Any]]) -> list[str]:
    counts = ", ".join(f"{state} {count}" for state, count in sorted(status["counts"].items()))
    lines = [
        f"{status['notification_id']}  {status['status']}  {counts}".rstrip(),
        f"  request {status['request_id']} of {status['producer']}",
    ]
    if (audience := status.get("audience")) is not None:
        walked = f"{audience['expanded']} of {audience['of_shards']} shards walked"
        lines.append(f"  audience: {audience['members']} people, {walked}")
    lines += [_step(event) for event in events]
    lines += [f"  {error['pointer'] or '(request)'}: {error['detail']}" for error in status.get("errors", ())]
    if status.get("due_at"):
        lines.append(f"  due {status['due_at']:%Y-%m-%d %H:%M:%S} UTC")
    waiting = [each for each in status["deliveries"] if each["state"] in ("PENDING", "IN_FLIGHT", "RETRY")]
    lines += [_to_come(each) for each in waiting]
    return lines


def _step(event: dict[str, Any]) -> str:
    place = event.get("origin")
    details = [
        f"{event['channel']} to {event['recipient']}" if "channel" in event else "",
        f"{event['after_s']:g} s after the step before unless {event['unless']}" if "unless" in event else "",
        f"attempt {event['attempt'] + 1}" if "attempt" in event and event["event"] not in ("skipped", "digested") else "",
        why(event),
        f"answer {event['answer']}" if event.get("answer") else "",
        f"by {event['provider']}" if event.get("provider") else "",
        f"next {_time(event['next_at'])}" if event.get("next_at") and event["event"] != "digested" else "",
        f"by {event['by']}" if event.get("by") else "",
        event.get("note") or "",
        f"{place['topic']}/{place['partition']}/{place['offset']}" if place else "",
    ]
    return f"  {_time(event['at'])}  {event['event']:<10} " + ", ".join(detail for detail in details if detail)


def why(event: dict[str, Any]) -> str:
    """The reason; of what is gathered, where it is to be looked for and from when on."""
    reason: str = event.get("reason") or ""
    if event["event"] != "digested":
        return reason
    closes = f", closes at {event['next_at']:%Y-%m-%d %H:%M:%S} UTC" if event.get("next_at") else ""
    return f"into {reason.removeprefix('digest:')}{closes}"


def _to_come(delivery: dict[str, Any]) -> str:
    reason = f" ({delivery['reason']})" if delivery.get("reason") else ""
    due = f", at {_time(delivery['next_at'])}" if delivery.get("next_at") else ""
    return f"  still to come: {delivery['channel']} to {delivery['recipient']}, {delivery['state']}{reason}{due}"


def _time(moment: Any) -> str:
    return f"{moment:%H:%M:%S.%f}"[:-3]
