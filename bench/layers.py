"""What each part of a request costs, in one process and without a server.

`python -m bench.layers` prints a JSON list of labels and microseconds. Two runs of one part differ
by a tenth; what a layer adds is the difference of two such figures.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from quart import Quart

from app.auth import sessions
from app.auth.identity import Client
from app.auth.models import Purpose
from app.factory import create_app
from app.limits import limits
from bench.site import ADMINISTRATOR
from bench.yardsticks import app as bare
from tests.asgi import http_scope

BATCHES, CALLS = 15, 40

Layer = Callable[..., Awaitable[None]]


async def microseconds(call: Callable[[], Awaitable[object]]) -> float:
    """Return the CPU time of a call: the median of batches, of one call after another."""
    batches = []
    for _ in range(BATCHES + 1):
        started = time.process_time()
        for _ in range(CALLS):
            await call()
        batches.append((time.process_time() - started) / CALLS)
    return statistics.median(batches[1:]) * 1e6


def request(layer: Layer, path: str, **headers: str) -> Callable[[], Awaitable[object]]:
    """Return a call that has a layer answer a request, as an ASGI server does."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def call() -> None:
        answered = asyncio.Event()
        waiting = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if waiting:
                return waiting.pop()
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            assert event.get("status", 200) == 200, event
            if event["type"] == "http.response.body" and not event.get("more_body"):
                answered.set()

        await layer(_scope(path, pairs), receive, send)

    return call


def _scope(path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    # With what the outermost layer adds for the inner ones.
    added = {"proxy_headers": {}, "peer": "127.0.0.1", "scheme_known": True}
    return http_scope(path, headers) | added


async def measure(app: Quart) -> list[tuple[str, float]]:
    """Return what each part costs."""
    client = Client("127.0.0.1", "bench", local=True)
    async with app.app_context():
        session = await sessions.log_in(
            ADMINISTRATOR["email"], ADMINISTRATOR["password"], client, remember=False
        )
    token = {"authorization": f"Bearer {session.secret}"}
    cookie = {"cookie": f"session_bench={session.secret}"}
    found: list[tuple[str, float]] = []

    async def add(label: str, call: Callable[[], Awaitable[object]]) -> None:
        found.append((label, await microseconds(call)))

    await add("bare Quart: JSON", request(bare, "/json"))
    layer: Any = app.asgi_app
    while layer is not None:
        name = getattr(type(layer), "__name__", "")
        name = "Quart" if name == "method" else name
        await add(f"/livez, from {name} inwards", request(layer, "/livez"))
        layer = getattr(layer, "app", None) if name != "Quart" else None
    async with app.app_context():
        await add(
            "identify", lambda: sessions.identify(session.secret, (Purpose.SESSION, Purpose.TOKEN))
        )
        await add("one rate limit", lambda: limits.hit("route", "1000000/minute", "bench", 1))
    await add("/api/v1/account, with a token", request(app, "/api/v1/account", **token))
    await add("home, anonymous", request(app, "/"))
    await add("home, signed in", request(app, "/", **cookie))
    return found


async def main() -> None:
    """Print the figures."""
    app = create_app()
    async with app.test_app():
        print(json.dumps(await measure(app)))


if __name__ == "__main__":
    asyncio.run(main())
