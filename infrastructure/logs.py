"""One JSON line per thing that happened, with the context bound at the boundary. Never a secret, never an address."""

import logging
import sys
from typing import Any

import structlog
from asgi_correlation_id import correlation_id
from structlog.typing import EventDict

from infrastructure.settings import Settings


def _with_the_requests_correlation_id(_: Any, __: str, event: EventDict) -> EventDict:
    """In the API the id of the HTTP request; workers bind the one that came through Kafka."""
    if (found := correlation_id.get()) is not None:
        event.setdefault("correlation_id", found)
    return event


def configure_logs(settings: Settings) -> None:
    """structlog to stdout; libraries that log the ordinary way join at warning and above."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_the_requests_correlation_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
