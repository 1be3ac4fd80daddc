"""Redis connections on which a cancelled task stays cancelled.

The client sends each command inside `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that arrives
in the moment in which the bytes are out (https://github.com/python/cpython/issues/86296): a task that should have
ended would run on, and whoever waits for its end would wait for ever.
"""

import asyncio
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import TimeoutError as RedisTimeoutError


class Cancelling(AbstractConnection):
    """Sends within `socket_timeout` by `asyncio.timeout`, which loses no cancellation."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command. Raises the client's `TimeoutError`."""
        seconds, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(seconds):
                await super().send_packed_command(command, check_health)
        except TimeoutError as error:
            await self.disconnect(nowait=True)
            raise RedisTimeoutError("Timeout writing to socket") from error
        finally:
            self.socket_timeout = seconds


def cancelling(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """Make the variant of a kind of connection (TCP, TLS, Unix socket) that loses no cancellation."""
    return type(kind.__name__, (Cancelling, kind), {})
