"""A worker process says how it is on WORKER_PORT: /livez by progress, /readyz by assignment, /metrics for Prometheus."""

from collections.abc import Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from consumers.workers import Named
from infrastructure.kafka.consumer import GroupConsumer
from infrastructure.metrics import WORKER_IN_FLIGHT


def health_app(workers: Sequence[Named]) -> FastAPI:
    app = FastAPI(title="Carillon worker", openapi_url=None)
    consumers = [each.worker for each in workers if isinstance(each.worker, GroupConsumer)]

    @app.get("/livez")
    async def livez(response: Response) -> dict[str, Any]:
        """Alive while every worker gets on; a broker that is away does not make a process look dead."""
        stuck = [each.name for each in workers if not each.worker.alive]
        response.status_code = 503 if stuck else 200
        return {"status": "stuck" if stuck else "ok", "stuck": stuck}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, Any]:
        """Ready once every group has had its first assignment."""
        waiting = [consumer.health().group for consumer in consumers if not consumer.ready.is_set()]
        response.status_code = 503 if waiting else 200
        return {"status": "joining" if waiting else "ok", "joining": waiting}

    @app.get("/metrics")
    async def metrics() -> Response:
        for consumer in consumers:
            health = consumer.health()
            WORKER_IN_FLIGHT.labels(health.group).set(health.in_flight)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def health_server(workers: Sequence[Named], host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(health_app(workers), host=host, port=port, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    # the process has its own way of ending: the workers drain first
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    return server
