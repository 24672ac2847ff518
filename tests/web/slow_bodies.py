"""Requests whose body comes later than their head."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from quart import Quart

JSON = {"Content-Type": "application/json"}


async def begin(
    app: Quart, method: str, path: str, headers: dict[str, str], body: Mapping[str, object]
) -> tuple[Any, bytes]:
    """Send the head of a request and the first byte of its body; return what is left to send."""
    raw = json.dumps(body).encode()
    held = app.test_client().request(path, method=method, headers={**JSON, **headers})
    await held.__aenter__()
    await held.send(raw[:1])
    await asyncio.sleep(0.3)  # it is identified meanwhile
    return held, raw[1:]


async def finish(held: Any, rest: bytes) -> int:
    """Send the rest of a body, and return the status of the answer."""
    await held.send(rest)
    await held.send_complete()
    await held.receive()
    return int(held.status_code)
