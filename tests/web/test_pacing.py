"""A burst of requests does not block others."""

import asyncio
import itertools
from typing import Any

from quart import Quart

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
