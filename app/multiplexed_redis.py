"""A client of Redis whose commands share one connection, as every request has at least one."""

import asyncio
import contextvars
from collections import deque
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

# Options of commands whose answers are read in another way.
SPECIAL = {NEVER_DECODE, EMPTY_RESPONSE}


class MultiplexedRedis(Redis):
    """Send each command at once on one connection; the answers come in the same order.

    redis-py has each command wait for a connection of its own, look if that is still alive, and
    read the answer itself, which takes three times as long. Its own way remains for what keeps a
    connection: pipelines and subscriptions.

    Every command has the pool's `socket_timeout`. A connection that has died is replaced, and the
    command sent once more; a time-out ends the connection.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Return the answer to one command. Raises redis-py's errors."""
        if options.keys() & SPECIAL:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        timeout = self.connection_pool.connection_kwargs["socket_timeout"]
        try:
            async with asyncio.timeout(timeout):
                line = self._line if self._line and self._line.is_open else await self._connect()
                try:
                    answer = await line.ask(args)
                except RedisConnectionError:
                    line = await self._connect()
                    answer = await line.ask(args)
        except TimeoutError:
            if self._line is not None:
                self._line.end()
            raise RedisTimeoutError("Redis did not answer in time") from None
        convert = self.response_callbacks.get(args[0])
        options.pop("keys", None)  # for a cache, which is not used
        return convert(answer, **options) if convert else answer

    async def _connect(self) -> "_Line":
        async with self._connecting:
            if self._line is None or not self._line.is_open:
                pool = self.connection_pool
                # The time-outs are around it, and a ping of its own would take another's answer.
                kwargs = pool.connection_kwargs | {
                    "socket_timeout": None,
                    "health_check_interval": 0,
                }
                connection = pool.connection_class(**kwargs)
                await connection.connect()  # type: ignore[no-untyped-call]
                self._line = _Line(connection)
            return self._line

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connection, and those of the pool."""
        if self._line is not None:
            self._line.end()
            await self._line.ended()
        await super().aclose(close_connection_pool)


class _Line:
    """A connection, and those who wait for its answers, in order."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._waiting: deque[asyncio.Future[Any]] = deque()
        # In a context of its own: it outlives the request that happened to need it first.
        self._reader = asyncio.get_running_loop().create_task(
            self._read(), context=contextvars.Context()
        )

    @property
    def is_open(self) -> bool:
        return not self._reader.done() and self._reader.get_loop() is asyncio.get_running_loop()

    async def ask(self, args: tuple[Any, ...]) -> Any:
        """Send a command, and return its answer or raise the error that it is."""
        packed = self._connection.pack_command(*args)
        answer = asyncio.get_running_loop().create_future()
        # Nothing may come between these two, so that answers find their questions.
        self._waiting.append(answer)
        self._connection._writer.writelines(packed)  # type: ignore[union-attr]  # it is connected
        return await answer

    def end(self) -> None:
        """Close the connection; those who still wait get an error."""
        self._reader.cancel()

    async def ended(self) -> None:
        """Wait until the connection is closed."""
        if not self._reader.done():
            await asyncio.wait([self._reader])

    async def _read(self) -> None:
        error: Exception = RedisConnectionError("The connection was closed")
        try:
            while True:
                self._answer(await self._next())
        except Exception as failure:
            error = failure
        finally:
            await self._connection.disconnect(nowait=True)
            while self._waiting:
                self._answer(error)

    async def _next(self) -> Any:
        """Return the next answer, which may be an error."""
        try:
            return await self._connection.read_response(disconnect_on_error=False)
        except RedisConnectionError:
            raise
        except RedisError as refused:
            return refused

    def _answer(self, answer: Any) -> None:
        waiting = self._waiting.popleft()
        if waiting.done():
            return  # whoever waited has gone
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)
