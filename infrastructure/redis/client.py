from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's own names
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,  # noqa: A004
)

from infrastructure.settings import Settings
from schemas.outcomes import Unavailable

MAX_CONNECTIONS = 64
CONNECTION_WAIT_S = 1.0
CONNECT_TIMEOUT_S = 1.0
# longer than the longest blocking read (XREADGROUP BLOCK, 2 s), or a quiet stream looks like a dead server
ANSWER_TIMEOUT_S = 5.0
HEALTH_CHECK_S = 30

# The server is away, starting, failing over or full. Any other error is a bug of ours and stays what it is.
OUT_OF_REACH = (
    ConnectionError,
    TimeoutError,
    ReadOnlyError,
    OutOfMemoryError,
    MasterDownError,
    ClusterDownError,
    OSError,
)


def open_redis(settings: Settings) -> Redis:
    """A client that connects on first use; `aclose()` closes its pool.

    Nothing is sent twice: redis-py's default repeats a command whose answer was lost, and XADD or INCR would then count
    double (redis/redis-py#3554). A full pool waits instead of raising MaxConnectionsError.
    """
    pool = BlockingConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        max_connections=MAX_CONNECTIONS,
        timeout=CONNECTION_WAIT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
        health_check_interval=HEALTH_CHECK_S,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


@contextmanager
def redis_or_unavailable() -> Iterator[None]:
    """Around commands: a Redis that is out of reach becomes `Unavailable`, without its address in the text."""
    try:
        yield
    except OUT_OF_REACH as error:
        raise Unavailable(f"redis: {type(error).__name__}") from error
