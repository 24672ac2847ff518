"""redis-py 5.3: on Python 3.11 every command starts a task, in which it is sent.

That is what `asyncio.wait_for` does, and it may swallow a cancellation besides, as
`app.patches.lost_cancellations` says. Needed until `requires-python` begins at 3.12.

What a server did not read in time is dropped with its connection, which redis-py would keep until
the server reads or the process ends.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

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
        writer = cast(asyncio.StreamWriter, self._writer)  # which connecting has set
        try:
            async with asyncio.timeout(self.socket_timeout):
                # Not by `writelines`, after which `drain` does not wait until Python 3.12.9 and
                # 3.13.2: https://github.com/python/cpython/issues/127655
                for part in [command] if isinstance(command, bytes) else command:
                    writer.write(part)
                await writer.drain()
        except BaseException as error:
            writer.transport.abort()
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
