"""Hypercorn 0.18: what a client does wrong is a traceback at ERROR, or not logged at all.

Whatever its protocols do not expect ends the connection's task with an exception: a header of a
websocket that is not ASCII, a path of HTTP/2 that is not, CONNECT without a path, more than 1,000
streams that are reset or named in PRIORITY frames. Errors of the application are no part of this:
Hypercorn catches and logs them where it calls the application.

A response to a client that has reset its connection goes on, with a warning of asyncio's for each
piece of it.
"""

import logging
import traceback

from h2.connection import ConnectionState
from h2.exceptions import ProtocolError
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h2 import H2Protocol

logger = logging.getLogger(__name__)

WRITTEN_IN_VAIN = "socket.send() raised exception."  # as asyncio says it, from the fifth time on

_run, _send, _handle = TCPServer.run, TCPServer.protocol_send, H2Protocol.handle


def log_client_mistakes_as_info() -> None:
    """Log what ends a connection as one line, at DEBUG with its traceback as well.

    Call this when the application starts. Changes nothing for servers other than Hypercorn.
    """
    TCPServer.run = _run_quietly  # type: ignore[assignment, method-assign]
    TCPServer.protocol_send = _send_while_open  # type: ignore[assignment, method-assign]
    H2Protocol.handle = _handle_and_log  # type: ignore[assignment, method-assign]
    # What is on its way when the client goes is written before anybody can know.
    logging.getLogger("asyncio").addFilter(_is_no_write_in_vain)


def _is_no_write_in_vain(record: logging.LogRecord) -> bool:
    return record.msg != WRITTEN_IN_VAIN


async def _run_quietly(server: TCPServer) -> None:
    try:
        await _run(server)
    except Exception as error:
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        last = traceback.extract_tb(cause.__traceback__)[-1]
        # Without the error's text, which may quote what was sent.
        logger.info(
            "A client sent what the server does not expect, and its connection ended: %s at %s:%s",
            type(cause).__name__,
            last.filename,
            last.lineno,
        )
        logger.debug("The whole error:", exc_info=error)


async def _send_while_open(server: TCPServer, event: Event) -> None:
    """Send, or end what is in progress if the client has gone."""
    if isinstance(event, RawData) and server.writer.is_closing():
        await server.protocol.handle(Closed())
    else:
        await _send(server, event)


async def _handle_and_log(protocol: H2Protocol, event: Event) -> None:
    """Handle what arrived, as Hypercorn does, and log an error of the protocol that ends it."""
    if not isinstance(event, RawData):
        await _handle(protocol, event)
        return
    ended = protocol.connection.state_machine.state is ConnectionState.CLOSED
    try:
        events = protocol.connection.receive_data(event.data)
    except ProtocolError as error:
        if not ended:
            logger.info("A client sent what is not HTTP/2: %s", type(error).__name__)
        await protocol._flush()
        await protocol.send(Closed())
    else:
        await protocol._handle_events(events)
