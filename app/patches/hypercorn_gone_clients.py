"""Hypercorn 0.18: a client that has gone is written to, and waited for.

1. A response to a client that has reset its connection goes on, with a warning of asyncio's for
   each piece of it.
2. A connection that its client has closed stays open for `keep_alive_timeout` more, since that is
   how long the next request is waited for; its socket and buffers as well.
"""

import logging

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData, Updated

WRITTEN_IN_VAIN = "socket.send() raised exception."  # as asyncio says it, from the fifth time on

_send, _read = TCPServer.protocol_send, TCPServer._read_data


def let_clients_go() -> None:
    """End what a client that has gone leaves behind.

    Call this when the application starts. Changes nothing for servers other than Hypercorn.
    """
    TCPServer.protocol_send = _send_while_open  # type: ignore[assignment, method-assign]
    TCPServer._read_data = _read_and_wait_no_longer  # type: ignore[assignment, method-assign]
    # What is on its way when the client goes is written before anybody can know.
    logging.getLogger("asyncio").addFilter(_is_no_write_in_vain)


def _is_no_write_in_vain(record: logging.LogRecord) -> bool:
    return record.msg != WRITTEN_IN_VAIN


async def _send_while_open(server: TCPServer, event: Event) -> None:
    """Send, or end what is in progress if the client has gone; wait for no request then."""
    if isinstance(event, RawData) and server.writer.is_closing():
        await server.protocol.handle(Closed())
    elif not (isinstance(event, Updated) and event.idle and server.reader.at_eof()):
        await _send(server, event)


async def _read_and_wait_no_longer(server: TCPServer) -> None:
    """Read until the client closes its side; an answer in progress goes on."""
    await _read(server)
    await server.idle_task.stop()
