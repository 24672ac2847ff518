"""A request, and its response, in as few tasks and events as that takes."""

import asyncio
from typing import Any

import pytest
from quart import Quart, Response
from quart.asgi import ASGIHTTPConnection

from app.patches import quart_connections
from app.patches.quart_connections import DirectConnection
from tests.asgi import http_scope


async def ask(
    kind: type[ASGIHTTPConnection], view: Any, *, leave_after: float = 60, send: Any = None
) -> tuple[list[Any], int]:
    """Return the events of a response, and how many tasks the request started."""
    app = Quart(__name__)
    app.asgi_http_class = kind
    app.add_url_rule("/", "view", view)
    events: list[Any] = []
    tasks = []
    loop = asyncio.get_running_loop()

    async def receive() -> Any:
        if not events and not asked:
            asked.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(leave_after)
        return {"type": "http.disconnect"}

    async def collect(event: Any) -> None:
        events.append(event)

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        tasks.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    asked: list[bool] = []
    loop.set_task_factory(factory)
    try:
        await app(http_scope("/"), receive, send or collect)  # type: ignore[arg-type]
    finally:
        loop.set_task_factory(None)
    await asyncio.sleep(0)
    return events, len(tasks)


async def hello() -> str:
    return "hello"


async def test_quart_still_needs_more() -> None:
    events, tasks = await ask(ASGIHTTPConnection, hello)
    assert len(events) == 3, "delete _send_response of app/patches/quart_connections.py"
    assert tasks >= 2, "delete __call__ of app/patches/quart_connections.py"


async def test_a_small_response_takes_two_events_and_a_request_one_task() -> None:
    events, tasks = await ask(DirectConnection, hello)
    assert [event["type"] for event in events] == ["http.response.start", "http.response.body"]
    assert events[1]["body"] == b"hello"
    assert events[1]["more_body"] is False
    assert tasks == 1


async def test_large_and_streamed_ones_are_sent_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stream() -> Response:
        async def pieces() -> Any:
            yield b"one"
            yield b"two"

        return Response(pieces())

    events, _ = await ask(DirectConnection, stream)
    assert [event.get("body") for event in events] == [None, b"one", b"two", b""]
    monkeypatch.setattr(quart_connections, "SMALL", 3)
    events, _ = await ask(DirectConnection, hello)
    assert b"".join(event.get("body", b"") for event in events) == b"hello"
    assert len(events) == 3


async def test_who_leaves_cancels_the_handling_and_nothing_else() -> None:
    ended = []

    async def slow() -> str:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(True)
        return "too late"

    async with asyncio.timeout(5):
        events, _ = await ask(DirectConnection, slow, leave_after=0.05)
    assert ended == [True]
    assert events == []
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_server_that_stops_cancels_the_handling_too() -> None:
    began = asyncio.Event()

    async def slow() -> str:
        began.set()
        await asyncio.sleep(30)
        return "too late"

    task = asyncio.create_task(ask(DirectConnection, slow))
    await began.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()


async def test_a_view_that_fails_is_answered_and_a_response_times_out() -> None:
    async def fail() -> str:
        raise RuntimeError("a bug")

    events, _ = await ask(DirectConnection, fail)
    assert events[0]["status"] == 500

    async def stall(event: Any) -> None:
        await asyncio.sleep(30)

    async def impatient() -> Response:
        response = Response("hello")
        response.timeout = 0.1
        return response

    async with asyncio.timeout(5):
        await ask(DirectConnection, impatient, send=stall)
