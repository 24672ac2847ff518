"""Quart 0.22: a request costs a task, and its response an event, more than they need.

A request is handled in one task, and another listens for the client's leaving, while the one that
the server started waits for both; `asyncio.wait_for`, the time-out of responses, starts a fourth on
Python 3.11. The end of a body that is there already is an event of its own, which goes through all
layers.
"""

import asyncio
from typing import Any

from quart.asgi import ASGIHTTPConnection, _handle_exception
from quart.typing import ResponseTypes
from quart.utils import encode_headers
from quart.wrappers import Request
from quart.wrappers.response import DataBody

# Bytes: a larger body goes on as Quart sends it.
SMALL = 32 * 1024


class DirectConnection(ASGIHTTPConnection):
    """A request that is handled in the server's own task, and its response in few events."""

    async def __call__(self, receive: Any, send: Any) -> None:
        """Answer one request. If the client leaves before, the handling is cancelled."""
        request = self._create_request_from_scope(send)
        handling = asyncio.current_task()
        assert handling is not None  # noqa: S101  (for the type checker: a coroutine runs in a task)
        ended = left = False

        async def listen() -> None:
            nonlocal left
            try:
                await self.handle_messages(request, receive)
            finally:
                if not ended:
                    left = True
                    handling.cancel()

        listening = asyncio.create_task(listen())
        try:
            await self.handle_request(request, send)
        except asyncio.CancelledError:
            if not left or handling.cancelling() > 1:  # the server stops as well
                raise
        finally:
            ended = True
            if left:
                handling.uncancel()
            listening.cancel()
        if listening.done() and not listening.cancelled():
            listening.result()  # raises what listening failed with

    async def handle_request(self, request: Request, send: Any) -> None:
        """Answer one request, and give up sending after the response's time-out."""
        try:
            response: Any = await self.app.handle_request(request)
        except Exception as error:
            response = await _handle_exception(self.app, error)
        timeout = getattr(response, "timeout", Ellipsis)
        if timeout is Ellipsis:
            timeout = self.app.config["RESPONSE_TIMEOUT"]
        try:
            async with asyncio.timeout(timeout):
                await self._send_response(send, response)
        except TimeoutError:
            pass

    async def _send_response(self, send: Any, response: ResponseTypes) -> None:
        body = response.response
        if not isinstance(body, DataBody) or len(body.data) > SMALL:
            await super()._send_response(send, response)
            return
        headers = encode_headers(response.headers)
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        data = body.data[body.begin : body.end]
        await send({"type": "http.response.body", "body": data, "more_body": False})
