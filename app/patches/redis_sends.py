"""redis-py 5.3: on Python 3.11 every command starts a task, in which it is sent.

That is what `asyncio.wait_for` does, and it may swallow a cancellation besides, as
`app.patches.lost_cancellations` says. Needed until `requires-python` begins at 3.12.
"""

import asyncio
from collections.abc import Iterable

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class _Sending(AbstractConnection):
    """A connection that sends within its time-out in the caller's own task."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Send a command. Raises redis-py's own errors, after which the connection is closed."""
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        elif check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        if isinstance(command, str):
            command = command.encode()
        try:
            async with asyncio.timeout(self.socket_timeout):
                await self._send_packed_command(
                    [command] if isinstance(command, bytes) else command
                )
        except BaseException as error:
            await self.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError("Timeout writing to socket") from None
            if isinstance(error, OSError):
                raise RedisConnectionError(f"Error while writing to socket: {error}") from error
            raise


class SendingConnection(_Sending, Connection):
    """A TCP connection."""


class SendingSSLConnection(_Sending, SSLConnection):
    """A TLS connection."""


class SendingUnixConnection(_Sending, UnixDomainSocketConnection):
    """A connection through a Unix socket."""


CLASSES: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: SendingConnection,
    SSLConnection: SendingSSLConnection,
    UnixDomainSocketConnection: SendingUnixConnection,
}
