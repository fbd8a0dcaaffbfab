"""`python -m api`: serves the API, the live connections and the pages on HOST:PORT."""

import sys

import uvicorn
from pydantic import ValidationError

from api.main import create_app
from infrastructure.logs import configure_logs
from infrastructure.settings import Settings


def main() -> None:
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(f"The API cannot start: {error}")
    configure_logs(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        # deflate costs four times the memory per socket and twice the CPU (make bench)
        ws_per_message_deflate=False,
        ws_max_size=65_536,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
