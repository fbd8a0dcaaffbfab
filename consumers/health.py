"""A worker process says how it is on WORKER_PORT: /livez by progress, /readyz by assignment, /metrics for Prometheus."""

from collections.abc import Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from consumers.workers import Named
from infrastructure.kafka.consuming.consumer import GroupConsumer
from infrastructure.kafka.consuming.health import Health
from infrastructure.metrics import WORKER_HELD, WORKER_IN_FLIGHT, WORKER_OLDEST, WORKER_PAUSED
from schemas.topics import PRIORITIES


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
    async def readyz(response: Response, verbose: str | None = None) -> dict[str, Any]:
        """Ready once every group has had its first assignment; `?verbose` tells how each one is getting on."""
        waiting = [consumer.health().group for consumer in consumers if not consumer.ready.is_set()]
        response.status_code = 503 if waiting else 200
        answer: dict[str, Any] = {"status": "joining" if waiting else "ok", "joining": waiting}
        if verbose is not None:
            answer["workers"] = [consumer.health().as_json() for consumer in consumers]
        return answer

    @app.get("/metrics")
    async def metrics() -> Response:
        for consumer in consumers:
            _measure(consumer.health())
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def _measure(health: Health) -> None:
    WORKER_IN_FLIGHT.labels(health.group).set(health.in_flight)
    WORKER_OLDEST.labels(health.group).set(health.oldest_in_flight_age_s)
    WORKER_HELD.labels(health.group).set(sum(health.held.values()))
    for priority in PRIORITIES:
        WORKER_PAUSED.labels(health.group, priority).set(priority in health.paused)


def health_server(workers: Sequence[Named], host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(health_app(workers), host=host, port=port, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    # the process has its own way of ending: the workers drain first
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    return server
