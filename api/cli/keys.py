"""`carillon keys`: the API keys of backends, from a terminal that reaches the tables."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.environment import settings_here
from api.cli.workbench import Answer, By, Json, Where, moment, refuse, whoever, with_stores

if TYPE_CHECKING:
    from infrastructure.auth.keyring import Issued, Keyring

keys = typer.Typer(name="keys", help="API keys of backends: create, list, rotate, revoke.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it: the middle part of a key.")]
ONCE = "Keep it now: it will not be shown again."


@keys.command()
def create(
    name: Annotated[str, typer.Option("--name", help="For people, to know it again.")],
    producer: Annotated[str, typer.Option("--producer", help="Whose notifications these are; part of every id.")],
    permission: Annotated[list[str] | None, typer.Option("--permission", "-p", help="May be said again.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="Requests a minute.")] = 6000,
    expires: Annotated[str, typer.Option("--expires", metavar="TIME", help="2027-12-01T00:00Z; never if not said.")] = "",
    by: By = "",
    environment: Where = "",
    as_json: Json = False,
) -> None:
    """Make a key and print it, once.

    Exit code 0: the key is on standard output. 1: something about it is wrong. 2: the table does not answer.
    """
    from pydantic import ValidationError

    from schemas.api_keys import NewKey

    permissions = tuple(permission or ["notifications:send"])
    asked = {
        "name": name,
        "producer": producer,
        "permissions": permissions,
        "limit_per_minute": limit,
        "expires_at": moment(expires),
    }
    try:
        wanted = NewKey.model_validate(asked)
    except ValidationError as error:
        raise refuse("\n".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())) from None

    def work(ring: "Keyring", where: Any) -> "Coroutine[Any, Any, Issued]":
        return ring.create(wanted, where, whoever(by), datetime.now(UTC))

    _show_once(_with_keyring(work, environment), as_json)


@keys.command("list")
def list_(environment: Where = "", as_json: Json = False) -> None:
    """Every key, also revoked ones, with the hour of its last use.

    Exit code 0: it could be read. 2: the table does not answer.
    """
    from schemas.api_keys import described

    now = datetime.now(UTC)
    found = [described(key, now) for key in _with_keyring(lambda ring, where: ring.all_of(where), environment)]
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo("\n".join(map(_line, found)) or "There is no key yet: carillon keys create --help")


@keys.command()
def rotate(
    key_id: Id,
    overlap: Annotated[str, typer.Option("--overlap", help="How long the old secret still works: 24h, 0s.")] = "24h",
    by: By = "",
    as_json: Json = False,
) -> None:
    """Make a new secret for a key and print it, once; the one before works until the overlap is over.

    Exit code 0: the key is on standard output. 1: there is no such key, or it is over. 2: the table does not answer.
    """
    from pydantic import ValidationError

    from schemas.api_keys import Rotation

    try:
        wanted = Rotation.model_validate({"overlap": overlap})
    except ValidationError as error:
        raise refuse(f"--overlap {overlap}: {error.errors()[0]['msg']}") from None
    _show_once(_with_one(key_id, lambda ring: ring.rotate(key_id, wanted.overlap, whoever(by), datetime.now(UTC))), as_json)


@keys.command()
def revoke(key_id: Id, by: By = "") -> None:
    """End a key for good: every door refuses it within 30 seconds.

    Exit code 0: it is revoked, now or before. 1: there is no such key. 2: the table does not answer.
    """
    key = _with_one(key_id, lambda ring: ring.revoke(key_id, whoever(by), datetime.now(UTC)))
    typer.echo(f"{key.key_id} ({key.name}) is revoked since {key.revoked_at:%Y-%m-%d %H:%M:%S} UTC.")


def _with_keyring(work: "Callable[[Keyring, Any], Coroutine[Any, Any, Answer]]", environment: str) -> Answer:
    from infrastructure.auth.keyring import Keyring, key_hash

    hashing = key_hash(settings_here())
    return with_stores(lambda where, stores: work(Keyring(stores.api_keys, hashing), where), environment)


def _with_one(key_id: str, work: "Callable[[Keyring], Coroutine[Any, Any, Answer]]") -> Answer:
    """The environment is part of the key's id."""
    import re

    from infrastructure.auth.keyring import KeyIsOver, UnknownApiKey
    from schemas.api_keys import KEY_ID, environment_of_key

    if not re.fullmatch(KEY_ID, key_id):
        raise refuse(f"{key_id} is no key's id: it looks like dev7k3mhw2qv5xna4tz, and the secret is not part of it.")
    try:
        return _with_keyring(lambda ring, _: work(ring), environment_of_key(key_id))
    except UnknownApiKey:
        raise refuse(f"There is no key {key_id}.") from None
    except KeyIsOver:
        raise refuse(f"{key_id} was revoked or has expired; make a new one.") from None


def _show_once(issued: "Issued", as_json: bool) -> None:
    """The key alone on standard output, so that a script can take it; everything else beside it."""
    from schemas.api_keys import described

    if as_json:
        typer.echo(json.dumps(described(issued.key, datetime.now(UTC)) | {"key": issued.presented}))
        return
    typer.echo(f"{issued.key.key_id}: for {issued.key.producer} in {issued.key.environment}. {ONCE}", err=True)
    typer.echo(issued.presented)


def _line(key: dict[str, Any]) -> str:
    used = f"last used {key['last_used_at'][:13]}h" if key["last_used_at"] else "never used"
    secrets = ", two secrets" if len(key["secrets"]) > 1 else ""
    permissions = ",".join(key["permissions"]) or "no permissions"
    return f"{key['key_id']}  {key['state']:<8} {key['producer']:<16} {key['name']}  {permissions}  {used}{secrets}"
