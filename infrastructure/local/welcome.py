"""What the person who typed `make run` reads when everything answers."""

import os
from collections.abc import Mapping
from pathlib import Path

from infrastructure.local.selftest import self_test
from infrastructure.settings import Settings

TOKEN_FILE = "token"  # noqa: S105 - the name of a file


async def after_ready(variables: Mapping[str, str], elsewhere_notes: list[str], logs: Path) -> None:
    """The self-test through each entrance, then where to look, and one command that delivers a notification."""
    site = f"http://localhost:{variables['PORT']}"
    lines = ["", *await _tested(variables, logs.parent), "", "Carillon is ready.", ""]
    lines += [
        f"  playground  {site}/        (log in with one click as ana, ben or user123)",
        f"  inbox       {site}/inbox",
        f"  operators   {site}/ops     (as olga)",
        f"  providers   {variables['SANDBOX_URL']}/",
        f"  logs        {logs}/",
        *(f"  {note}" for note in elsewhere_notes),
        "",
        *_curl(site, logs.parent),
        "Press Ctrl-C to stop. Each delivery appears here as a line:",
        "",
    ]
    print("\n".join(lines), flush=True)


def _curl(site: str, local: Path) -> list[str]:
    if not (local / TOKEN_FILE).exists():
        return []
    token = f"$(cat {_short(local / TOKEN_FILE)})"
    return [
        "Send one to Ana (the token is hers and lasts a day):",
        "",
        f'  curl {site}/api/v1/notifications -H "Authorization: Bearer {token}" \\',
        """    --json '{"to":"ana","message":"Hello from curl"}'""",
        "",
    ]


def _short(path: Path) -> str:
    return os.path.relpath(path)


async def _tested(variables: Mapping[str, str], local: Path) -> list[str]:
    """One line per entrance. Real logins elsewhere give no token to test with."""
    token_file = local / TOKEN_FILE
    token_file.unlink(missing_ok=True)
    if not variables.get("AUTH0_CLIENT_SECRET"):
        return ["No self-test: logins run elsewhere."]
    os.environ.update(variables)
    token, figures = await self_test(variables, Settings(_env_file=None))
    descriptor = os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
    told = [f"  {name:<13} {ms:5.0f} ms" for name, ms in figures.items()]
    return ["Self-test, from handing in to Ana's inbox (Web Push: to her browser in the sandbox):", *told]
