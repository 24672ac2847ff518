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
from quart import request

from app.limits import Report
from app.moving_window import Window


def reporter(declared_limit: str) -> Report | None:
    """Return what adds a count to the answer of this request; `None` for pages."""
    path = request.path
    if path.startswith("/api/") or path == "/openapi.json":
        return partial(_report, declared_limit)
    return None


def _report(declared_limit: str, windows: Sequence[Window]) -> None:
    policy, current = _formats(declared_limit, tuple([window.part for window in windows]))
    numbers = [number for _, *two in windows for number in two]
    # The layer of the security headers adds these, for a third of what it costs to do so here.
    request.scope["rate_limit_headers"] = [  # type: ignore[typeddict-unknown-key]
        (b"ratelimit-policy", policy),
        (b"ratelimit", current % (*numbers,)),
    ]


@lru_cache(1024)
def _formats(declared_limit: str, parts: tuple[RateLimitItem, ...]) -> tuple[bytes, bytes]:
    """Return RateLimit-Policy, and RateLimit with places for the two numbers of each part."""
    names = [_name(declared_limit, part) for part in parts]
    each = zip(names, parts, strict=True)
    policy = ", ".join(f'"{name}";q={part.amount};w={part.get_expiry()}' for name, part in each)
    current = ", ".join(f'"{name}";r=%d;t=%d' for name in names)
    return policy.encode(), current.encode()


def _name(declared_limit: str, part: RateLimitItem) -> str:
    """Name a part by what is counted and by its window: "api-minute", "strength-5-minutes".

    Routes that count together have the same names, and no others. They follow from the code and
    from the windows of the rule, so they are the same wherever it is installed.
    """
    counted = re.sub("[^a-z0-9]+", "-", declared_limit.removesuffix("_LIMIT").lower()).strip("-")
    unit = part.GRANULARITY.name
    window = unit if part.multiples == 1 else f"{part.multiples}-{unit}s"
    return f"{counted}-{window}"
