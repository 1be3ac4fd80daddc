"""How every Redis adapter connects, names its keys and tells that Redis is away."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from redis import DriverInfo, __version__
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chatacter.chassis.errors import Misconfigured, Unavailable
from chattr.adapters.redis_cancelling import cancelling
from chattr.domain.identity import Owner

PREFIX: Final = "chatacter"
AWAY: Final = "Redis does not answer. Nothing was lost; try again in a moment."
REFUSED: Final = "Redis refuses these credentials. Tell its operator."
FORBIDDEN: Final = "Redis does not let this user run a command that is needed. Tell its operator."
UNREADABLE: Final = (
    "A Redis URL must begin with redis://, rediss:// or unix://, and its characters must be escaped. "
    "A password with other characters than letters and digits belongs into a setting of its own (RECORDS__PASSWORD)."
)
FULL: Final = "Redis takes no writes: its memory is full (maxmemory), or it is a replica. Tell its operator."
RETRY_AFTER: Final = 2.0
# Said once here: left to itself, the client reads its own version from disk with every connection, in the event loop.
DRIVER: Final = DriverInfo(lib_version=__version__)


def key(owner: Owner, *parts: str) -> str:
    """Name a key. There is no key without an owner. The hash tag keeps an owner's keys in one cluster slot."""
    return ":".join((PREFIX, f"{{{owner.tenant}/{owner.person}}}", *parts))


@asynccontextmanager
async def connected(
    url: str,
    *,
    username: str | None = None,
    password: str | None = None,
    connections: int = 64,
    seconds: float = 5.0,
) -> AsyncIterator[Redis]:
    """Hold a pool that waits for a free connection instead of failing. Connects with the first command.

    Raises `Misconfigured` when the URL cannot be read.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            username=username,
            password=password,
            max_connections=connections,
            timeout=seconds,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            driver_info=DRIVER,
        )
    except ValueError as error:
        raise Misconfigured(UNREADABLE) from error
    pool.connection_class = cancelling(pool.connection_class)
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()


@contextmanager
def told() -> Iterator[None]:
    """Turn a lost connection, and a server that does not let us in or takes no writes, into `Unavailable`."""
    try:
        yield
    except AuthenticationError as error:
        raise Unavailable(REFUSED, retry_after=RETRY_AFTER) from error
    except NoPermissionError as error:
        raise Unavailable(FORBIDDEN, retry_after=RETRY_AFTER) from error
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise Unavailable(AWAY, retry_after=RETRY_AFTER) from error
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise Unavailable(FULL, retry_after=RETRY_AFTER) from error


async def reachable(client: Redis) -> str | None:
    """Readiness: None when Redis answers."""
    try:
        with told():
            await client.ping()
    except Unavailable as error:
        return error.message
    return None
