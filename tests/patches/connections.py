"""Connections that Hypercorn serves, in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config


@dataclass
class Serving:
    """A port on which Hypercorn listens, and the tasks that serve its connections."""

    address: tuple[str, int]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connect to it, and leave nothing of the connection behind."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(app: Any, **settings: object) -> AsyncIterator[Serving]:
    """Have Hypercorn serve an application, with these of its settings."""
    config = Config.from_mapping(settings)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: Any = asyncio.current_task()
        found.tasks.append(task)
        loop = asyncio.get_running_loop()
        await TCPServer(app, loop, config, WorkerContext(None), {}, reader, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        found = Serving(server.sockets[0].getsockname())
        try:
            yield found
        finally:
            for task in found.tasks:
                task.cancel()
            await asyncio.gather(*found.tasks, return_exceptions=True)
