"""A burst of requests leaves room for others."""

import asyncio
import itertools
from typing import Any

from quart import Quart

from app.security.pacing import Pacing


async def begin(layer: Pacing, path: str) -> None:
    await layer({"type": "http", "path": path}, None, None)  # type: ignore[arg-type]


async def test_one_request_begins_in_a_turn_of_the_event_loop_in_their_order(app: Quart) -> None:
    begun: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])

    layer = Pacing(inner, app.extensions["settings"])
    burst = [asyncio.create_task(begin(layer, f"/{number}")) for number in range(50)]
    counts = []
    while len(begun) < 50:
        await asyncio.sleep(0)
        counts.append(len(begun))
    assert max(after - before for before, after in itertools.pairwise(counts)) == 1
    assert begun == [f"/{number}" for number in range(50)]
    await asyncio.gather(*burst)


async def test_a_probe_goes_past_and_who_leaves_holds_nobody_up(app: Quart) -> None:
    begun: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])

    layer = Pacing(inner, app.extensions["settings"])
    burst = [asyncio.create_task(begin(layer, f"/{number}")) for number in range(50)]
    probe = asyncio.create_task(begin(layer, "/livez"))
    await asyncio.sleep(0)
    for task in burst[:25]:
        task.cancel()
    await asyncio.gather(probe, *burst, return_exceptions=True)
    assert begun == ["/livez", *(f"/{number}" for number in range(25, 50))]
