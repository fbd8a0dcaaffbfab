"""Is it alive, is it ready, how is it: for orchestrators, for Prometheus and for people."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.dependencies import House
from api.wiring import ApiResources
from infrastructure.dynamo.tables import CONTACTS
from infrastructure.kafka.topics import missing_topics

router = APIRouter(tags=["health"])

CHECK_S = 2.0


@router.get("/livez", operation_id="livez")
async def livez() -> dict[str, str]:
    """The process turns; it asks nobody else, so an outage elsewhere kills no process."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="readyz")
async def readyz(response: Response, house: House) -> dict[str, Any]:
    """Ready when a request could be accepted now: Kafka with all its topics, and the store."""
    checks = await _checks(house)
    ready = checks["kafka"] == "ok" and checks["dynamodb"] == "ok"
    response.status_code = 200 if ready else 503
    return {"status": "ok" if ready else "unavailable", "checks": checks}


@router.get("/health", operation_id="health")
async def health(response: Response, house: House) -> dict[str, Any]:
    """Every dependency by name. Redis away degrades: tokens still work, sessions do not."""
    checks = await _checks(house)
    healthy = all(state == "ok" for state in checks.values())
    response.status_code = 200 if healthy else 503
    return {"status": "healthy" if healthy else "degraded", "checks": checks}


@router.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _checks(house: ApiResources) -> dict[str, str]:
    states = await asyncio.gather(
        _state(_kafka(house)),
        _state(house.stores.contacts.get(house.settings.default_environment, CONTACTS.noun)),
        _state(house.redis.ping()),
    )
    return dict(zip(("kafka", "dynamodb", "redis"), states, strict=True))


async def _kafka(house: ApiResources) -> None:
    missing = await missing_topics(house.settings)
    if missing:
        raise LookupError(f"{len(missing)} Kafka topics are missing")


async def _state(check: Awaitable[object]) -> str:
    """`ok`, or the kind of trouble; addresses stay inside."""
    try:
        async with asyncio.timeout(CHECK_S):
            await check
    except LookupError as error:
        return str(error)
    except Exception as error:  # pylint: disable=broad-exception-caught  # whatever it is, it is the answer
        return type(error).__name__
    return "ok"
