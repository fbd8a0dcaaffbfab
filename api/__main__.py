"""`python -m api`: serves the API, the live connections and the pages on HOST:PORT."""

import socket
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from api.main import create_app
from infrastructure.logs import configure_logs
from infrastructure.settings import Settings


class Server(uvicorn.Server):
    """Tells those who listen to streams that it leaves; it would wait for them to end by themselves."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.leaving.set()
        await super().shutdown(sockets)


def main() -> None:
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(f"The API cannot start: {error}")
    configure_logs(settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
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
    Server(config, app).run()


if __name__ == "__main__":
    main()
