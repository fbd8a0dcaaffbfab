"""What the children are told by environment variables, and where each of these values comes from."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from infrastructure.local.addresses import Addresses, Elsewhere, write_private
from infrastructure.local.ports import any_free_port, free_or_another, is_free
from infrastructure.local.processes import CannotStart
from infrastructure.local.stack import Ports

LOCAL_CLIENT = "carillon-local"
LOCAL_AUDIENCE = "https://carillon.local/api"

# Ports by variable. One that the environment sets must be free; one of these may give way to another.
PORT = ("PORT", 8000)
KAFKA = ("KAFKA_PORT", 9092)
DYNAMODB = ("DYNAMODB_PORT", 8001)
REDIS = ("REDIS_PORT", 6379)
IDENTITY_PROVIDER = ("IDP_PORT", 8002)
SANDBOX = ("SANDBOX_PORT", 8003)
SANDBOX_SMTP = ("SANDBOX_SMTP_PORT", 8025)
SANDBOX_BACKUP_SMTP = ("SANDBOX_BACKUP_SMTP_PORT", 8026)


@dataclass(frozen=True)
class RunPorts:
    """Where everything that `make run` starts will listen."""

    api: int
    stack: Ports
    identity_provider: int
    sandbox: int
    sandbox_smtp: int
    sandbox_backup_smtp: int
    workers: int


def choose_ports(variables: Mapping[str, str], elsewhere: Elsewhere) -> RunPorts:
    """PORT must be free, since it is what people type; the others move aside when nobody asked for them by name."""
    name, default = PORT
    api = _number(variables, name, default)
    _refuse_busy(name, api)
    return RunPorts(
        api=api,
        stack=Ports(
            kafka=0 if elsewhere.kafka else _choose(variables, *KAFKA),
            dynamodb=0 if elsewhere.dynamodb else _choose(variables, *DYNAMODB),
            redis=0 if elsewhere.redis else _choose(variables, *REDIS),
        ),
        identity_provider=_choose(variables, *IDENTITY_PROVIDER),
        sandbox=_choose(variables, *SANDBOX),
        sandbox_smtp=_choose(variables, *SANDBOX_SMTP),
        sandbox_backup_smtp=_choose(variables, *SANDBOX_BACKUP_SMTP),
        workers=any_free_port(),
    )


def outside_variables(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What a person has set: `.env`, and over it the environment, as settings.py reads them."""
    from_file = {key: value for key, value in dotenv_values(root / ".env").items() if value}
    return {**from_file, **environ}


def keep_secrets(path: Path) -> dict[str, str]:
    """Made on the first start and kept, so that sessions outlive a restart."""
    kept = {key: value for key, value in dotenv_values(path).items() if value}
    wanted = {name: kept.get(name) or secrets.token_hex(32) for name in ("APP_SECRET_KEY", "AUTH0_CLIENT_SECRET")}
    if wanted != kept:
        write_private(path, wanted)
    return wanted


def local_variables(ports: RunPorts, addresses: Addresses, elsewhere: Elsewhere, kept: Mapping[str, str]) -> dict[str, str]:
    """The usual variables for all that runs here; what runs elsewhere keeps what the environment says."""
    sandbox = f"http://127.0.0.1:{ports.sandbox}"
    variables = {
        "DEPLOYMENT": "local",
        "PORT": str(ports.api),
        "WORKER_PORT": str(ports.workers),
        "IDP_PORT": str(ports.identity_provider),
        "SANDBOX_PORT": str(ports.sandbox),
        "SANDBOX_SMTP_PORT": str(ports.sandbox_smtp),
        "SANDBOX_BACKUP_SMTP_PORT": str(ports.sandbox_backup_smtp),
        "SANDBOX_URL": sandbox,
        "SLACK_WEBHOOK_URL": f"{sandbox}/slack/services/T0/B0/local",
        "APP_SECRET_KEY": kept["APP_SECRET_KEY"],
        **addresses.environment(),
    }
    if not elsewhere.identity_provider:
        variables |= login_variables(ports, kept)
    if not elsewhere.mail:
        variables |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(ports.sandbox_smtp), "SMTP_STARTTLS": "false"}
    return variables


def login_variables(ports: RunPorts, kept: Mapping[str, str]) -> dict[str, str]:
    """For the stand-in of Auth0, and for everybody who logs in through it."""
    return {
        "AUTH0_DOMAIN": f"127.0.0.1:{ports.identity_provider}",
        "AUTH0_ISSUER": f"http://127.0.0.1:{ports.identity_provider}/",
        "AUTH0_CLIENT_ID": LOCAL_CLIENT,
        "AUTH0_CLIENT_SECRET": kept["AUTH0_CLIENT_SECRET"],
        "AUTH0_AUDIENCE": LOCAL_AUDIENCE,
    }


def _choose(variables: Mapping[str, str], name: str, default: int) -> int:
    if not variables.get(name):
        return free_or_another(default)
    port = _number(variables, name, default)
    _refuse_busy(name, port)
    return port


def _refuse_busy(name: str, port: int) -> None:
    if not is_free(port):
        raise CannotStart(
            f"Port {port} is busy: another program listens there. Stop it, or choose another port: "
            f"{name}={port + 1} make run"
        )


def _number(variables: Mapping[str, str], name: str, default: int) -> int:
    text = variables.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise CannotStart(f"{name}={text} is no port. It must be a number from 1 to 65535, for instance {name}={default}")
    return int(text)
