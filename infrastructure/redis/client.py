from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

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
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.MasterDownError,
    exceptions.ClusterDownError,
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
        # on, redis-py takes a connection that the server closed for a live one: after a restart each fails once
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return Redis.from_pool(pool)


@contextmanager
def redis_or_unavailable() -> Iterator[None]:
    """Around commands: a Redis that is out of reach becomes `Unavailable`, without its address in the text."""
    try:
        yield
    except OUT_OF_REACH as error:
        raise Unavailable(f"redis: {type(error).__name__}") from error
