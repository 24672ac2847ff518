"""Quart 0.22: every response costs an event more than it needs and, on Python 3.11, a task.

The end of a body that is there already is sent as an event of its own, through all layers, and the
time-out of responses is `asyncio.wait_for`, which on Python 3.11 runs what it waits for in a task.
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
    """A request and its response, sent in as few events as that takes."""

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
