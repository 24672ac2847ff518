"""Hypercorn 0.18: what a client does wrong is a traceback at ERROR, or not logged at all.

Whatever its protocols do not expect ends the connection's task with an exception: a header of a
websocket that is not ASCII, a path of HTTP/2 that is not, CONNECT without a path, more than 1,000
streams that are reset or named in PRIORITY frames. Errors of the application are no part of this:
Hypercorn catches and logs them where it calls the application.

On Python 3.11 a connection that is open when `graceful_timeout` is over is a traceback too: asyncio
asks a task that was cancelled for its exception.
"""

import asyncio
import logging
import traceback

from h2.connection import ConnectionState
from h2.exceptions import ProtocolError
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h2 import H2Protocol

logger = logging.getLogger(__name__)

_run, _handle = TCPServer.run, H2Protocol.handle


def log_client_mistakes_as_info() -> None:
    """Log what ends a connection as one line, at DEBUG with its traceback as well.

    Call this when the application starts. Changes nothing for servers other than Hypercorn.
    """
    TCPServer.run = _run_quietly  # type: ignore[assignment, method-assign]
    H2Protocol.handle = _handle_and_log  # type: ignore[assignment, method-assign]


async def _run_quietly(server: TCPServer) -> None:
    try:
        await _run(server)
    except asyncio.CancelledError:
        logger.info("A connection was open for longer than the server waits when it stops: cut it")
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
