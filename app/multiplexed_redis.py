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
SPECIAL_OPTIONS = {NEVER_DECODE, EMPTY_RESPONSE}
# Commands that wait for something to happen, or change what later ones on their connection mean.
BLOCKING = ("BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN")
READING = ("MONITOR", "PSUBSCRIBE", "SSUBSCRIBE", "SUBSCRIBE", "XREAD", "XREADGROUP")
CHANGING = ("AUTH", "DISCARD", "EXEC", "HELLO", "MULTI", "RESET", "SELECT", "UNWATCH", "WATCH")
OF_CLIENTS = ("CLIENT REPLY", "CLIENT TRACKING")
OWN_CONNECTION = {"WAIT", "WAITAOF", *BLOCKING, *READING, *CHANGING, *OF_CLIENTS}

NO_ANSWER = "Redis did not answer in time"


class MultiplexedRedis(Redis):
    """Send each command at once on one connection; the answers come in the same order.

    redis-py has each command wait for a connection of its own, look if that is still alive, and
    read the answer itself, which takes three times as long. Its own way remains for what needs a
    connection to itself: pipelines, subscriptions, and commands that block.

    Every command has the pool's `socket_timeout`, and so has connecting. A connection that has died
    is replaced, and the command sent once more. One that has not answered anybody for that time is
    given up.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._line: _Line | None = None
        self._connecting: asyncio.Task[_Line] | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Return the answer to one command. Raises redis-py's errors."""
        name = args[0].upper()
        alone = name in OWN_CONNECTION or name.partition(" ")[0] in OWN_CONNECTION
        if alone or options.keys() & SPECIAL_OPTIONS:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        line = self._line
        if line is None or not line.is_open:
            answer = await (await self._connect()).ask(args)
        else:
            try:
                answer = await line.ask(args)
            except _Lost:
                answer = await (await self._connect()).ask(args)
        options.pop("keys", None)  # for a cache, which is not used
        convert = self.response_callbacks.get(args[0])
        return convert(answer, **options) if convert else answer

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connection, and those of the pool. Commands that wait fail."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            self._line.end(RedisConnectionError("This client is closed"))
            await self._line.ended()
        await super().aclose(close_connection_pool)

    async def _connect(self) -> "_Line":
        """Return an open connection. All who need one wait for the same, however long they do."""
        loop = asyncio.get_running_loop()
        if self._line is not None and self._line.is_open:
            return self._line
        task = self._connecting
        if task is None or task.done() or task.get_loop() is not loop:
            # In a context of its own: what it makes outlives the request that needed it first.
            task = loop.create_task(self._make_line(), context=contextvars.Context())
            # Perhaps nobody is left to hear of an error.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._connecting = task
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise RedisConnectionError("This client is closed") from None
            raise

    async def _make_line(self) -> "_Line":
        pool = self.connection_pool
        timeout = pool.connection_kwargs["socket_timeout"]
        # A line times out by itself; a ping of the connection's own would take another's answer.
        alone = {"socket_timeout": None, "health_check_interval": 0}
        connection = pool.connection_class(**(pool.connection_kwargs | alone))
        try:
            async with asyncio.timeout(timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError(NO_ANSWER) from None
            raise
        self._line = _Line(connection, timeout)
        return self._line


class _Lost(RedisConnectionError):
    """The connection was lost, and perhaps the command with it."""


class _Line:
    """A connection, and those who wait for its answers, in order."""

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()  # and since when
        self._heard = 0.0  # when the last answer came
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._reader = self._loop.create_task(self._read())

    @property
    def is_open(self) -> bool:
        return not self._ended and self._loop is asyncio.get_running_loop()

    async def ask(self, args: tuple[Any, ...]) -> Any:
        """Send a command, and return its answer or raise the error that it is."""
        packed = self._connection.pack_command(*args)
        writer = self._connection._writer
        if self._ended or writer is None or writer.transport.is_closing():
            raise _Lost("The connection is closed")
        answer, now = self._loop.create_future(), self._loop.time()
        # Nothing may come between these two, so that answers find their questions.
        self._waiting.append((answer, now))
        writer.writelines(packed)
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._timeout, self._look)
        return await answer

    def end(self, error: RedisError) -> None:
        """Close the connection; those who still wait get this error."""
        self._fail_all(error)
        self._reader.cancel()

    def _fail_all(self, error: RedisError) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            self._answer(error)

    async def ended(self) -> None:
        """Wait until the connection is closed."""
        if not self._reader.done():
            await asyncio.wait([self._reader])

    def _look(self) -> None:
        # What has arrived may not have been read: the loop itself may have stood still for long.
        self._loop.call_soon(self._loop.call_soon, self._judge)

    def _judge(self) -> None:
        """Fail commands that have waited for too long. One timer serves all."""
        self._timer = None
        now = self._loop.time()
        late = now - self._timeout
        if not self._waiting or self._ended:
            return
        _, first = self._waiting[0]
        if max(first, self._heard) <= late:
            self.end(RedisTimeoutError(NO_ANSWER))
            return
        then = self._heard + self._timeout
        for waiting, since in self._waiting:
            if since > late:
                then = since + self._timeout
                break
            if not waiting.done():  # its place in the order remains
                waiting.set_exception(RedisTimeoutError(NO_ANSWER))
                waiting.exception()
        self._timer = self._loop.call_at(then, self._look)

    async def _read(self) -> None:
        error: RedisError = _Lost("The connection was lost")
        try:
            while True:
                try:
                    answer = await self._connection.read_response(disconnect_on_error=False)
                except RedisConnectionError:
                    raise
                except RedisError as refused:
                    answer = refused
                self._heard = self._loop.time()
                self._answer(answer)
        except Exception as failure:
            error = _Lost(f"The connection was lost: {failure}")
        finally:
            self._fail_all(error)
            await self._connection.disconnect(nowait=True)

    def _answer(self, answer: Any) -> None:
        waiting, _ = self._waiting.popleft()
        if waiting.done():
            return  # whoever waited has gone
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
            waiting.exception()  # whoever waited may leave in this turn, which is nothing to log
        else:
            waiting.set_result(answer)
