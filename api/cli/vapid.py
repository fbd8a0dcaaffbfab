"""`carillon vapid`: the key pair by which push services of browsers know this deployment."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import typer


def vapid() -> None:
    """Print a new VAPID_PRIVATE_KEY for Web Push. Keep it: with another one every browser has to subscribe anew."""
    from infrastructure.channels.vapid import new_private_key

    typer.echo(f"VAPID_PRIVATE_KEY={new_private_key()}")
