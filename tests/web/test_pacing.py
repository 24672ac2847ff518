"""A burst of requests does not block others."""

import asyncio
import itertools
from typing import Any

import pytest
from quart import Quart

from app.web.middleware import pacing
from app.web.middleware.pacing import Pacing


class Burst:
    """Fifty requests that arrive together, and the order in which they start."""

    def __init__(self, app: Quart) -> None:
        self.begun: list[str] = []
        self.layer = Pacing(self.note, app.extensions["settings"])
        self.tasks = [self.request(f"/{number}") for number in range(50)]

    async def note(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.append(scope["path"])

    def request(self, path: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self.layer({"type": "http", "path": path}, None, None))  # type: ignore[arg-type]


async def test_one_request_begins_in_a_turn_of_the_event_loop_in_their_order(app: Quart) -> None:
    burst = Burst(app)
    counts = []
    while len(burst.begun) < 50:
        await asyncio.sleep(0)
        counts.append(len(burst.begun))
    assert max(after - before for before, after in itertools.pairwise(counts)) == 1
    assert burst.begun == [f"/{number}" for number in range(50)]
    await asyncio.gather(*burst.tasks)


async def test_a_probe_goes_past_and_who_leaves_holds_nobody_up(app: Quart) -> None:
    burst = Burst(app)
    probe = burst.request("/livez")
    await asyncio.sleep(0)
    for task in burst.tasks[:25]:
        task.cancel()
    await asyncio.gather(probe, *burst.tasks, return_exceptions=True)
    assert burst.begun == ["/livez", *(f"/{number}" for number in range(25, 50))]


class Crowd:
    """Requests that do not end before they may."""

    def __init__(self, app: Quart) -> None:
        self.may_end = asyncio.Event()
        self.layer = Pacing(self.wait, app.extensions["settings"])
        self.served = 0

    async def wait(self, scope: Any, receive: Any, send: Any) -> None:
        self.served += 1
        await self.may_end.wait()

    def come(self, ip: str, path: str = "/") -> "asyncio.Task[list[Any]]":
        """Begin a request, whose answer is a list of events, empty where it was served."""

        async def request() -> list[Any]:
            events: list[Any] = []

            async def send(event: Any) -> None:
                events.append(event)

            scope: Any = {"type": "http", "path": path, "client": (ip, 1)}
            await self.layer(scope, None, send)  # type: ignore[arg-type]
            return events

        return asyncio.create_task(request())


async def test_one_client_does_not_take_all_the_room(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "MOST_OF_ONE", 5)
    monkeypatch.setattr(pacing, "MOST", 8)
    crowd = Crowd(app)
    tasks = [crowd.come("192.0.2.1") for _ in range(7)]
    tasks += [crowd.come(ip) for ip in ("192.0.2.2", "2001:db8::1", "2001:db8::2", "192.0.2.3")]
    tasks += [crowd.come("192.0.2.1", "/livez"), crowd.come("")]
    for _ in range(20):
        await asyncio.sleep(0)
    crowd.may_end.set()
    answers = await asyncio.gather(*tasks)
    refused = [number for number, events in enumerate(answers) if events]
    assert refused == [5, 6, 10, 12], "two of the first ip, and those after the eighth"
    assert answers[5][0]["status"] == 503
    assert dict(answers[5][0]["headers"])[b"retry-after"] == b"5"
    assert crowd.served == 9
    assert await crowd.come("192.0.2.1") == [], "afterwards there is room"
    assert not crowd.layer._in_progress


async def test_clients_of_unknown_ip_share_all_the_room(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "MOST_OF_ONE", 1)
    crowd = Crowd(app)
    crowd.may_end.set()
    answers = await asyncio.gather(*(crowd.come("") for _ in range(3)))
    assert answers == [[], [], []]
