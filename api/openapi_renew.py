"""`python -m api.openapi_renew`: writes docs/openapi.json anew, and beside it what api/published.py names."""

import sys
from pathlib import Path

from pydantic import SecretStr

from api import published
from api.main import create_app
from api.openapi import DOCUMENT, as_text
from infrastructure.settings import Settings


def main() -> None:
    # no setting changes the document; the secret is there because none may be missing
    settings = Settings(_env_file=None, deployment="local", app_secret_key=SecretStr("-" * 32))
    _renew(DOCUMENT, as_text(create_app(settings)))
    for name in published.FILES:
        _renew(published.FOLDER / name, published.as_text(name))


def _renew(file: Path, text: str) -> None:
    was = file.read_text(encoding="utf-8") if file.exists() else ""
    file.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{file.name} {'is as it was' if was == text else 'was renewed'}.\n")


if __name__ == "__main__":
    main()
