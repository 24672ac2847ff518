"""The limit of a route in the headers of its answers, so that programs need not run into it.

After draft-ietf-httpapi-ratelimit-headers-11. Both headers are lists with an item for each part of
the rule. `RateLimit-Policy: "api-minute";q=300;w=60` says the quota and the seconds of its window;
`RateLimit: "api-minute";r=299;t=60` how many requests remain, and in how many seconds the oldest
one that counts leaves the window. What else is counted, such as wrong passwords, is not shown.
"""

import re
from collections.abc import Sequence
from functools import lru_cache, partial

from limits import RateLimitItem
from quart import Response, after_this_request, request

from app.limits import Report
from app.moving_window import Window


def reporter(declared_limit: str) -> Report | None:
    """Return what adds a count to the answer of this request; `None` for pages."""
    path = request.path
    if path.startswith("/api/") or path == "/openapi.json":
        return partial(_report, declared_limit)
    return None


def _report(declared_limit: str, windows: Sequence[Window]) -> None:
    names, policy = _policy(declared_limit, tuple(window.part for window in windows))
    items = [
        f"{name};r={window.remaining};t={window.reset}"
        for name, window in zip(names, windows, strict=True)
    ]

    async def add(response: Response) -> Response:
        response.headers["RateLimit-Policy"] = policy
        response.headers["RateLimit"] = ", ".join(items)
        return response

    after_this_request(add)  # type: ignore[arg-type]  # quart's hint forgets its own responses


@lru_cache(1024)
def _policy(declared_limit: str, parts: tuple[RateLimitItem, ...]) -> tuple[list[str], str]:
    """Return the names of the parts, and the value of RateLimit-Policy."""
    names = [_name(declared_limit, part) for part in parts]
    policies = [
        f"{name};q={part.amount};w={part.get_expiry()}"
        for name, part in zip(names, parts, strict=True)
    ]
    return names, ", ".join(policies)


def _name(declared_limit: str, part: RateLimitItem) -> str:
    """Name a part by what is counted and by its window: "api-minute", "strength-5-minutes".

    Routes that count together have the same names, and no others. They follow from the code and
    from the windows of the rule, so they are the same wherever it is installed.
    """
    counted = re.sub("[^a-z0-9]+", "-", declared_limit.removesuffix("_LIMIT").lower()).strip("-")
    unit = part.GRANULARITY.name
    window = unit if part.multiples == 1 else f"{part.multiples}-{unit}s"
    return f'"{counted}-{window}"'
