"""`python -m api.openapi_renew`: writes docs/openapi.json anew."""

import sys

from pydantic import SecretStr

from api.main import create_app
from api.openapi import DOCUMENT, as_text
from infrastructure.settings import Settings


def main() -> None:
    # no setting changes the document; the secret is there because none may be missing
    settings = Settings(_env_file=None, deployment="local", app_secret_key=SecretStr("-" * 32))
    text = as_text(create_app(settings))
    was = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    DOCUMENT.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT.name} {'is as it was' if was == text else 'was renewed'}.\n")


if __name__ == "__main__":
    main()
