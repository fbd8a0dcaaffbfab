from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias
from urllib.parse import quote

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from infrastructure.settings import Settings
from schemas.outcomes import Unavailable

# what the floors above call the client; redis-py itself is known to infrastructure alone
RedisClient: TypeAlias = Redis

MAX_CONNECTIONS = 64
CONNECTION_WAIT_S = 1.0
CONNECT_TIMEOUT_S = 1.0
# longer than the longest blocking read (XREADGROUP BLOCK, 2 s), or a quiet stream looks like a dead server
ANSWER_TIMEOUT_S = 5.0
HEALTH_CHECK_S = 30


def open_redis(settings: Settings) -> Redis:
    """A client that connects on first use; `aclose()` closes its pool.

    Nothing is sent twice: redis-py's default repeats a command whose answer was lost, and XADD or INCR would then count
    double (redis/redis-py#3554). A full pool waits instead of raising MaxConnectionsError.
    """
    pool = BlockingConnectionPool.from_url(
        address_of(settings),
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


def address_of(settings: Settings) -> str:
    """REDIS_URL; where it is not said, what the older services said in parts."""
    if "redis_url" in settings.model_fields_set or _IN_PARTS.isdisjoint(settings.model_fields_set):
        return settings.redis_url.get_secret_value()
    password = quote(settings.redis_password.get_secret_value(), safe="")
    login = f":{password}@" if password else ""
    return f"redis://{login}{settings.redis_host}:{settings.redis_port}/{settings.redis_db}"


_IN_PARTS = {"redis_host", "redis_port", "redis_db", "redis_password"}


@contextmanager
def redis_or_unavailable() -> Iterator[None]:
    """Around commands: what Redis cannot do right now becomes `Unavailable`, without address and arguments in its text.

    A refusal counts too: a full disk (MISCONF) or a replica without its master is no error of the caller's, and the bridge
    has to outlive even a key of another type (WRONGTYPE) until somebody removes it.
    """
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(f"redis: {type(error).__name__}{_code(error)}") from error


def _code(error: Exception) -> str:
    """The word a refusal begins with (WRONGTYPE), where redis-py has no class for it; the rest may repeat what we sent."""
    word = str(error).partition(" ")[0]
    return f" {word}" if isinstance(error, ResponseError) and word.isupper() else ""
